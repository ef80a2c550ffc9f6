// Talking to the API: requests with the token of this visit, jobs with their events, errors as sentences.
"use strict";

const byId = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children); // strings become text, never markup
  return made;
}

function say(sentence) {
  byId("message").textContent = sentence;
  byId("message").hidden = !sentence;
}

function withToken(headers) {
  const token = sessionStorage.getItem("clapgen-token");
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { ...options, headers: withToken(options.headers ?? {}) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is it still running?");
  }
  if (answer.status === 401) byId("token-form").hidden = false;
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `the server answered ${answer.status}.`);
  }
  return answer;
}

const asJson = (values) => ({
  method: "POST",
  headers: { "Content-Type": "application/json", Accept: "application/json" },
  body: JSON.stringify(values),
});
const asForm = (form) => ({ method: "POST", headers: { Accept: "application/json" }, body: form });

// The events of a job, read with fetch, because EventSource sends no token.
async function* eventsOf(job, signal) {
  const reader = (await ask(`${job}/events`, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block);
      const data = /^data: (.*)$/m.exec(block);
      if (name && data) yield { name: name[1], data: JSON.parse(data[1]) };
    }
  }
}

// Run a request as a job: shows its progress in a panel, and ends it when Stop is pressed.
async function asJob(panel, address, options) {
  const box = panel.querySelector(".progress");
  const [bar, words, picture] = [box.querySelector("progress"), box.querySelector("[role=status]"), box.querySelector("img")];
  const stop = panel.querySelector(".stop");
  say("");
  box.hidden = false;
  picture.hidden = true;
  bar.removeAttribute("value");
  words.textContent = "waiting";
  try {
    const started = await ask(address, { ...options, headers: { ...options.headers, Prefer: "respond-async" } });
    const job = new URL(started.headers.get("Location"), location.href).pathname;
    stop.disabled = false;
    stop.onclick = () => ask(job, { method: "DELETE" }).catch((error) => say(error.message));
    for await (const { name, data } of eventsOf(job)) {
      if (name === "preview") {
        picture.src = data.spectrogram;
        picture.hidden = false;
        continue;
      }
      if (data.total) bar.value = data.done / data.total;
      words.textContent = data.state === "queued" ? `waiting, ${data.ahead} ahead` : data.total ? `step ${data.done} of ${data.total}` : data.state;
      if (name === "failed") throw new Error(data.problem.detail);
      if (name === "cancelled") throw new Error("stopped.");
    }
    return await (await ask(`${job}/result`, { headers: { Accept: "application/json" } })).json();
  } finally {
    stop.disabled = true;
    box.hidden = true;
  }
}
