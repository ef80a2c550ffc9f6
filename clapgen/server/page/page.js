// The page: tabs, forms, and what happens when they are sent.
"use strict";

const EXAMPLES = ["rain on a tin roof", "a dog barks twice", "church bells in the distance", "waves on a beach", "a door creaks and slams"];

function tabs() {
  const all = [...document.querySelectorAll("[role=tab]")];
  const show = (tab) => {
    for (const each of all) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", chosen);
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !chosen;
    }
    say("");
  };
  all.forEach((tab, index) => {
    tab.onclick = () => show(tab);
    tab.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = all[(index + step + all.length) % all.length];
      next.focus();
      show(next);
    };
  });
  return (name) => show(byId(`tab-${name}`));
}

function theme() {
  const choice = byId("theme");
  choice.value = localStorage.getItem("clapgen-theme") ?? "";
  const use = () => {
    if (choice.value) document.documentElement.dataset.theme = choice.value;
    else delete document.documentElement.dataset.theme;
    localStorage.setItem("clapgen-theme", choice.value);
  };
  choice.onchange = use;
  use();
}

async function models() {
  const { data } = await (await ask("/v1/models")).json();
  for (const select of document.querySelectorAll(".models")) {
    const able = data.filter((model) => model.can.includes(select.dataset.can));
    select.replaceChildren(...able.map((model) => element("option", {}, model.id)));
  }
}

// What is in a form, numbers as numbers, without what is empty.
function valuesOf(form) {
  const values = {};
  for (const field of form.elements) {
    if (!field.name || field.type === "file" || field.value === "" || field.closest("[hidden]")) continue;
    values[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return values;
}

function onSubmit(form, work) {
  const panel = form.closest("section"), button = form.querySelector(".main");
  form.onsubmit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await work(panel);
    } catch (error) {
      say(error.message);
    } finally {
      button.disabled = false;
    }
  };
}

function setFile(input, blob, name) {
  const transfer = new DataTransfer();
  transfer.items.add(new File([blob], name, { type: blob.type }));
  input.files = transfer.files;
  input.dispatchEvent(new Event("change"));
}

function fileOf(form) {
  const [file] = form.elements.file.files;
  if (!file) throw new Error("choose a sound first.");
  return file;
}

function drops() {
  for (const box of document.querySelectorAll(".drop")) {
    const input = box.querySelector("input[type=file]");
    box.ondragover = (event) => { event.preventDefault(); box.classList.add("over"); };
    box.ondragleave = () => box.classList.remove("over");
    box.ondrop = (event) => {
      event.preventDefault();
      box.classList.remove("over");
      if (event.dataTransfer.files.length) setFile(input, event.dataTransfer.files[0], event.dataTransfer.files[0].name);
    };
  }
}

function generating(show) {
  const form = byId("generate-form"), results = byId("generated"), history = byId("history");
  for (const text of EXAMPLES) {
    byId("examples").append(element("button", { type: "button", onclick: () => (form.elements.prompt.value = text) }, text));
  }
  const again = (sidecar) => element("button", {
    type: "button",
    onclick: () => { form.elements.prompt.value = sidecar.prompt; form.elements.seed.value = -1; form.requestSubmit(); },
  }, "Another seed");
  const more = (sidecar, blob, file) => element("button", {
    type: "button",
    onclick: () => {
      show("edit");
      setFile(byId("edit-form").elements.file, blob, file);
      byId("kind").value = "restyle";
      byId("kind").dispatchEvent(new Event("change"));
      byId("edit-form").elements.prompt.value = sidecar.prompt;
      byId("edit-form").elements.seed.value = Number(sidecar.seed) + 1;
      byId("edit-form").requestSubmit();
    },
  }, "More like this");
  onSubmit(form, async (panel) => {
    const { sounds, warnings } = await asJob(panel, "/v1/audio/generations", asJson({ ...valuesOf(form), preview: true }));
    history.prepend(...results.childNodes);
    byId("history-title").hidden = !history.childNodes.length;
    results.replaceChildren(...sounds.map((sound) => madePlayer(sound, [more, again])));
    say(warnings.join(" "));
  });
}

function editing() {
  const form = byId("edit-form"), canvas = byId("wave"), [from, to] = [byId("from"), byId("to")];
  let sound = null;
  const draw = () => {
    if (!sound) return;
    const region = byId("kind").value === "fill" ? [Number(from.value), Number(to.value)] : null;
    drawWave(canvas, sound.getChannelData(0), sound.duration, region);
  };
  const kinds = () => {
    for (const label of form.querySelectorAll("[data-of]")) label.hidden = !label.dataset.of.split(" ").includes(byId("kind").value);
    draw();
  };
  byId("kind").onchange = kinds;
  kinds();
  from.oninput = to.oninput = draw;
  form.elements.file.onchange = async () => {
    sound = await decoded(fileOf(form)).catch(() => null);
    canvas.hidden = !sound;
    draw();
  };
  let begun = null;
  const secondsAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * sound.duration;
  };
  canvas.onpointerdown = (event) => { begun = secondsAt(event); canvas.setPointerCapture(event.pointerId); byId("kind").value = "fill"; kinds(); };
  canvas.onpointermove = (event) => {
    if (begun === null) return;
    const ends = [begun, secondsAt(event)].sort((a, b) => a - b);
    [from.value, to.value] = ends.map((seconds) => seconds.toFixed(2));
    draw();
  };
  canvas.onpointerup = () => (begun = null);
  onSubmit(form, async (panel) => {
    const file = fileOf(form), body = new FormData();
    for (const [key, value] of Object.entries(valuesOf(form))) body.append(key, value);
    if (body.get("kind") === "fill") body.append("regions", `${from.value}:${to.value}`);
    body.append("preview", "true");
    body.append("file", file);
    const { sounds } = await asJob(panel, "/v1/audio/edits", asForm(body));
    byId("edited").replaceChildren(player(`Before: ${file.name}`, file, file.name), ...sounds.map((each) => madePlayer(each)));
  });
}

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, String(cell)))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

const percent = (value) => `${Math.round(100 * value)} %`;
const span = (part) => `${part.start.toFixed(1)}–${part.end.toFixed(1)} s`;
const card = (title, ...children) => element("article", { className: "sound whole" }, element("h3", {}, title), ...children);

function listening() {
  const form = byId("listen-form"), heard = byId("heard");
  recording(form);
  onSubmit(form, async (panel) => {
    const file = fileOf(form), { labels, query } = valuesOf(form);
    const sent = (fields) => {
      const body = new FormData();
      for (const [key, value] of Object.entries(fields)) body.append(key, value);
      body.append("file", file);
      return asForm(body);
    };
    heard.replaceChildren(player(file.name, file, file.name));
    const wrong = [];
    const attempt = async (work) => { try { await work(); } catch (error) { wrong.push(error.message); } };
    await attempt(async () => {
      const { captions } = await asJob(panel, "/v1/captions", sent({}));
      heard.append(card("In words", table(["when", "caption", "score"], captions.map((each) => [span(each), each.caption, each.score.toFixed(2)]))));
    });
    if (labels) await attempt(async () => {
      const found = await asJob(panel, "/v1/classify", sent({ labels }));
      heard.append(card("Labels", table(["label", "probability"], found.labels.map((each) => [each.label, percent(each.probability)]))));
    });
    if (query) await attempt(async () => {
      const found = await asJob(panel, "/v1/locate", sent({ queries: query })), [one] = found.queries;
      const parts = one.segments.map((part) => [span(part), percent(part.probability)]);
      const none = element("p", {}, `not found; highest probability ${percent(one.peak)} at ${one.peak_time.toFixed(1)} s`);
      heard.append(card(`Where is “${query}”?`, curve(one.curve, found.rate, found.threshold, query), parts.length ? table(["when", "probability"], parts) : none));
    });
    say([...new Set(wrong)].join(" "));
  });
}

function recording(form) {
  const button = byId("record");
  let recorder = null;
  button.onclick = async () => {
    if (recorder) return recorder.stop();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const pieces = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => pieces.push(event.data);
      recorder.onstop = () => {
        stream.getTracks().forEach((track) => track.stop());
        setFile(form.elements.file, new Blob(pieces, { type: recorder.mimeType }), "recording.webm");
        recorder = null;
        button.textContent = "Record";
      };
      recorder.start();
      button.textContent = "Stop recording";
    } catch {
      say("the microphone cannot be used here; choose a file instead.");
    }
  };
}

function searching() {
  const form = byId("search-form"), found = byId("found");
  onSubmit(form, async (panel) => {
    const values = valuesOf(form), [file] = form.elements.file.files;
    const without = values.without ? [values.without] : [];
    let options = asJson({ ...values, without });
    if (file) {
      const body = new FormData();
      for (const [key, value] of Object.entries(values)) body.append(key, value);
      body.append("file", file);
      options = asForm(body);
    }
    const { hits, sounds } = await asJob(panel, "/v1/search", options);
    found.replaceChildren(element("p", { className: "whole faint" }, `${hits.length} of ${sounds} sounds`));
    for (const hit of hits) {
      const blob = await (await ask(hit.url)).blob().catch(() => null);
      const about = [hit.captions[0], hit.licence, hit.author].filter(Boolean);
      const lines = [`score ${hit.score.toFixed(3)} · ${hit.seconds.toFixed(1)} s`, ...about];
      if (blob) found.append(player(hit.file, blob, hit.file, lines));
    }
  });
}

const show = tabs();
theme();
drops();
generating(show);
editing();
listening();
searching();
byId("token-form").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("clapgen-token", byId("token").value);
  byId("token-form").hidden = true;
  say("");
  models().catch((error) => say(error.message));
};
models().catch((error) => say(error.message));
