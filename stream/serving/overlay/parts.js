// What the dashboard and the overlay share: words for people, number formats, small pieces of page.

import { MiarClient } from "./miar-client.js";

export const MODALITY_NAMES = { text: "Words", audio: "Voice", vision: "Face" };

const REASONS = {
  off: "switched off",
  device_lost: "device lost",
  failed: "failed",
  no_face: "no face in the picture",
  silence: "nobody is speaking",
  no_words_yet: "no words yet",
  stale: "nothing new for a while",
  unsupported_language: "language not supported",
};

export const reasonText = (reason) => REASONS[reason] ?? reason ?? "absent";
export const percent = (share) => `${Math.round(share * 100)} %`;
export const signed = (value) => `${value <= -0.05 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;

// A number of the query string, within bounds.
export function option(name, fallback, low, high) {
  const value = Number.parseFloat(new URLSearchParams(location.search).get(name) ?? "");
  return Number.isFinite(value) ? Math.min(Math.max(value, low), high) : fallback;
}

export const byId = (id) => document.getElementById(id);

export function ageText(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  if (milliseconds < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 995) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

export function element(tag, className, attributes = {}) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Writing the same text again would still make the browser lay the page out anew.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function makeBars(list, classes) {
  list.replaceChildren();
  return new Map(
    classes.map((name) => {
      const row = element("li", "bar", {
        "data-emotion": name,
        role: "meter",
        "aria-label": name,
        "aria-valuemin": "0",
        "aria-valuemax": "1",
      });
      const [label, track, value] = [element("span", "bar-name"), element("span", "track"), element("span", "num")];
      const fill = element("span", "fill");
      label.textContent = name;
      track.append(fill);
      row.append(label, track, value);
      list.append(row);
      return [name, { row, fill, value }];
    }),
  );
}

// `emotions` is null where nothing could be scored: then the bars are empty and say so.
export function setBars(bars, emotions, label) {
  for (const [name, { row, fill, value }] of bars) {
    const share = emotions?.[name] ?? null;
    row.dataset.value = share === null ? "" : String(share);
    row.classList.toggle("top", name === label);
    row.classList.toggle("empty", share === null);
    row.setAttribute("aria-valuenow", share ?? 0);
    row.setAttribute("aria-valuetext", share === null ? "no score" : percent(share));
    fill.style.transform = `scaleX(${share ?? 0})`;
    setText(value, share === null ? "–" : percent(share));
  }
}

// Sizes as they are told: to ask would make the browser lay the page out in between.
const sizes = new WeakMap();
const sizing = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) sizes.set(target, contentRect);
});

// A canvas as large as it is shown, in the units of the page.
export function fitCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1;
  if (!sizes.has(canvas)) {
    sizes.set(canvas, { width: canvas.clientWidth, height: canvas.clientHeight });
    sizing.observe(canvas);
  }
  const { width, height } = sizes.get(canvas);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

export function coloursOf(names) {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim() || "#888"]));
}

const place = (value, [low, high]) => (100 * (Math.min(Math.max(value, low), high) - low)) / (high - low);

export function setScale(root, sentiment, ends) {
  const band = root.querySelector(".band");
  const mark = root.querySelector(".mark");
  root.classList.toggle("empty", sentiment === null);
  if (sentiment === null) return;
  const [from, to] = [place(sentiment.low, ends), place(sentiment.high, ends)];
  // both are as wide as the scale: to move them needs no layout
  band.style.transform = `translateX(${from}%) scaleX(${Math.max(to - from, 0) / 100})`;
  mark.style.transform = `translateX(${place(sentiment.value, ends)}%)`;
}

// The token stands behind "#", which browsers never send to a server.
export function connect(options = {}) {
  const address = new URL(location.href);
  const token = new URLSearchParams(address.hash.slice(1)).get("token");
  const scheme = address.protocol === "https:" ? "wss" : "ws";
  return new MiarClient(`${scheme}://${address.host}/`, { token, ...options });
}

export const CONNECTION_TEXT = {
  connecting: "connecting",
  ready: "connected",
  waiting: "reconnecting",
  refused: "token needed",
  closed: "closed",
};
