// Sounds on the page: players with spectrograms that are drawn here, waveforms with a region, curves.
"use strict";

const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

async function decoded(blob) {
  const context = new OfflineAudioContext(1, 1, 44100);
  return context.decodeAudioData(await blob.arrayBuffer());
}

// In-place radix-2 FFT of real and imaginary parts.
function transform(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let size = 2; size <= n; size *= 2) {
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < size / 2; k++) {
        const angle = (-2 * Math.PI * k) / size, c = Math.cos(angle), s = Math.sin(angle);
        const a = start + k, b = a + size / 2;
        const tr = re[b] * c - im[b] * s, ti = re[b] * s + im[b] * c;
        re[b] = re[a] - tr; im[b] = im[a] - ti; re[a] += tr; im[a] += ti;
      }
    }
  }
}

function drawSpectrogram(canvas, samples, rate) {
  const { width, height } = canvas, size = 1024, pen = canvas.getContext("2d"), image = pen.createImageData(width, height);
  const low = Math.log(60), high = Math.log(rate / 2);
  for (let x = 0; x < width; x++) {
    const re = new Float32Array(size), im = new Float32Array(size);
    const start = Math.floor((x / width) * samples.length - size / 2);
    for (let i = 0; i < size; i++) re[i] = (samples[start + i] ?? 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
    transform(re, im);
    for (let y = 0; y < height; y++) {
      const bin = Math.min(size / 2 - 1, Math.round((Math.exp(low + (1 - y / height) * (high - low)) / rate) * size));
      const loud = 10 * Math.log10((re[bin] ** 2 + im[bin] ** 2) / (size * size) * 16 + 1e-12);
      const shade = Math.max(0, Math.min(1, (loud + 80) / 80)), at = 4 * (y * width + x);
      image.data[at] = 255 * Math.min(1, 1.6 * shade);
      image.data[at + 1] = 255 * Math.max(0, 1.5 * shade - 0.5);
      image.data[at + 2] = 255 * (0.12 + 0.5 * Math.sin(Math.PI * shade));
      image.data[at + 3] = 255;
    }
  }
  pen.putImageData(image, 0, 0);
}

function player(title, blob, file, lines = [], buttons = []) {
  const address = URL.createObjectURL(blob);
  const canvas = element("canvas", { width: 320, height: 90, role: "img", "aria-label": `Spectrogram of ${title}` });
  const box = element("article", { className: "sound" }, element("h3", {}, title), canvas,
    element("audio", { src: address, controls: true, preload: "metadata", "aria-label": title }));
  decoded(blob).then((sound) => drawSpectrogram(canvas, sound.getChannelData(0), sound.sampleRate)).catch(() => (canvas.hidden = true));
  for (const line of lines) box.append(element("div", { className: "faint" }, line));
  box.append(element("div", { className: "row" }, element("a", { href: address, download: file }, "Sound"), ...buttons));
  return box;
}

// A player for a sound that was made, with its sidecar to download.
function madePlayer(sound, buttons = []) {
  const blob = new Blob([bytesOf(sound.audio)], { type: sound.media_type });
  const { sidecar } = sound;
  const sidecarAddress = URL.createObjectURL(new Blob([JSON.stringify(sidecar, null, 2)], { type: "application/json" }));
  const sidecarLink = element("a", { href: sidecarAddress, download: sound.file.replace(/\.[^.]*$/, ".json") }, "Sidecar");
  const lines = [`seed ${sidecar.seed} · CLAP score ${sidecar.score.toFixed(2)}`];
  return player(sidecar.prompt, blob, sound.file, lines, [sidecarLink, ...buttons.map((make) => make(sidecar, blob, sound.file))]);
}

// Draw a waveform, and a region [from, to] in seconds over it.
function drawWave(canvas, samples, seconds, region) {
  const pen = canvas.getContext("2d"), { width, height } = canvas, style = getComputedStyle(document.documentElement);
  pen.clearRect(0, 0, width, height);
  if (region) {
    pen.fillStyle = style.getPropertyValue("--line");
    pen.fillRect((region[0] / seconds) * width, 0, ((region[1] - region[0]) / seconds) * width, height);
  }
  pen.fillStyle = style.getPropertyValue("--accent");
  for (let x = 0; x < width; x++) {
    let peak = 0;
    const end = Math.floor(((x + 1) / width) * samples.length);
    for (let i = Math.floor((x / width) * samples.length); i < end; i += 4) peak = Math.max(peak, Math.abs(samples[i]));
    pen.fillRect(x, (height / 2) * (1 - peak), 1, Math.max(1, height * peak));
  }
}

// The probability of a phrase over time.
function curve(points, rate, threshold, title) {
  const canvas = element("canvas", { width: 900, height: 90, role: "img", "aria-label": `Probability of ${title} over time` });
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement), { width, height } = canvas;
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.strokeRect(0, height * (1 - threshold), width, 0.5);
  pen.strokeStyle = style.getPropertyValue("--accent");
  pen.lineWidth = 2;
  pen.beginPath();
  points.forEach((value, index) => pen.lineTo((index / Math.max(1, points.length - 1)) * width, height * (1 - value)));
  pen.stroke();
  return canvas;
}
