// The overlay for OBS. Options in the query string:
//   parts=label,bars,sentiment,presence,transcript,faces   what is shown (default: label,bars,sentiment)
//   faces: with --faces, a box around each over all of the page, which must lie on the camera's picture; mirror=1
//   colours=happiness:ff8800,plate:00000080   of emotions by name, and: ink soft accent plate (hexadecimal, alpha last)
//   scale=1.5   side=left|right   edge=bottom|top   min=0.4 (confidence below which no label is named)   rate=15

import {
  CONNECTION_TEXT, MODALITY_NAMES, byId, connect, element, makeBars, option, percent, reasonText, setBars, setScale,
  setText,
} from "./parts.js";

const query = new URLSearchParams(location.search);
const KNOWN = ["label", "bars", "sentiment", "presence", "transcript", "faces"];
const asked = (query.get("parts") ?? "").split(",").filter(Boolean);
const unknown = asked.filter((part) => !KNOWN.includes(part));
if (unknown.length) console.warn(`no such parts: ${unknown.join(", ")}; there are ${KNOWN.join(", ")}`);
const chosen = asked.filter((part) => KNOWN.includes(part));
const parts = new Set(chosen.length ? chosen : ["label", "bars", "sentiment"]);
const mirrored = query.get("mirror") === "1";
const LATE_SECONDS = 2;

// "name:colour,..." into the properties that the style sheets use; what is no colour is said on the console.
const OTHERS = ["ink", "soft", "accent", "plate"];
function paint(classes) {
  for (const pair of (query.get("colours") ?? "").split(",").filter(Boolean)) {
    const [name, colour = ""] = pair.split(":");
    const known = [...classes, ...OTHERS].includes(name);
    if (known && /^#?([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})$/i.test(colour)) {
      // where the style sheet sets it: a property set further out would be hidden by that
      const where = classes.includes(name) || name === "accent" ? document.documentElement : document.body;
      where.style.setProperty(`--${name}`, `#${colour.replace("#", "")}`);
    } else console.warn(`no such colour: ${pair}; as happiness:ff8800 there are ${[...classes, ...OTHERS].join(", ")}`);
  }
}

const least = option("min", 0, 0, 1);
const client = connect({ events: ["result"], maxRate: option("rate", 15, 1, 60) });
let bars = new Map();
let ends = [-3, 3];
let chips = {};
let newest = null;
let newestAt = 0;

const panel = byId("overlay");
panel.dataset.side = query.get("side") === "right" ? "right" : "left";
panel.dataset.edge = query.get("edge") === "top" ? "top" : "bottom";
panel.hidden = parts.size === 1 && parts.has("faces");
for (const part of document.querySelectorAll("[data-part]")) part.hidden = !parts.has(part.dataset.part);

// A source in OBS may be smaller than what was asked for: then smaller is better than cut off.
const MARGIN = 20;
function fit() {
  const room = Math.min(
    (innerWidth - 2 * MARGIN) / panel.offsetWidth,
    (innerHeight - 2 * MARGIN) / panel.offsetHeight,
  );
  panel.style.setProperty("--scale", Math.max(Math.min(option("scale", 1, 0.25, 6), room), 0.1));
}
new ResizeObserver(fit).observe(panel);
addEventListener("resize", fit);

client.addEventListener("hello", ({ detail }) => paint(detail.classes), { once: true });
client.addEventListener("hello", ({ detail }) => {
  ends = detail.sentiment;
  bars = makeBars(byId("bars"), detail.classes);
  byId("modalities").replaceChildren();
  chips = Object.fromEntries(
    detail.modalities.map((name) => {
      const chip = element("li", "modality", { "data-modality": name });
      chip.textContent = MODALITY_NAMES[name] ?? name;
      byId("modalities").append(chip);
      return [name, chip];
    }),
  );
});
client.addEventListener("result", ({ detail }) => {
  newest = detail;
  newestAt = performance.now();
  requestAnimationFrame(show);
});
client.addEventListener("state", ({ detail }) => {
  byId("connection").dataset.state = detail.state;
  setText(byId("connection"), CONNECTION_TEXT[detail.state]);
});

// An answer of the past must not stand for the present: without news the panel is emptied.
setInterval(() => {
  if (newest === null || performance.now() - newestAt < 1000 * LATE_SECONDS) return;
  newest = { ...newest, emotions: null, label: null, confidence: null, sentiment: null, modalities: {}, faces: [] };
  show();
  newest = null;
}, 250);

// A face among several in a few words: who, whether it speaks, and what is said of it.
const faceText = ({ id, label, confidence, speaking }) =>
  `${speaking ? "♪ " : ""}${id} ${label === null ? "no score" : `${label} ${percent(confidence)}`}`;

// A box for each face, kept from result to result so that it moves instead of being made anew.
const boxes = new Map();
function showFaces(faces) {
  for (const [id, box] of boxes) {
    if (faces.some((face) => face.id === id)) continue;
    box.remove();
    boxes.delete(id);
  }
  for (const face of faces) {
    if (!boxes.has(face.id)) {
      const made = element("li", "face", { "data-face": face.id });
      made.append(element("span"));
      byId("faces").append(made);
      boxes.set(face.id, made);
    }
    const box = boxes.get(face.id);
    const { x, y, width, height } = face.box;
    const left = mirrored ? 1 - x - width : x;
    const sides = { left, top: y, width, height };
    for (const [side, share] of Object.entries(sides)) box.style[side] = `${100 * share}%`;
    box.dataset.label = face.label ?? "";
    box.dataset.speaking = String(face.speaking);
    setText(box.firstChild, faceText(face));
  }
}

// What was wanted and is not there; what was switched off is no surprise.
function whyNot(modalities) {
  const missing = Object.values(modalities).filter(({ reason }) => reason && reason !== "off");
  return [...new Set(missing.map(({ reason }) => reasonText(reason)))].join(" · ");
}

function show() {
  const { emotions, label, confidence, sentiment, modalities, transcript } = newest;
  const named = label !== null && confidence >= least ? label : null;
  setBars(bars, emotions, named);
  if (parts.has("faces")) showFaces(newest.faces ?? []);
  setText(byId("label"), named ?? "–");
  byId("label").dataset.label = named ?? "";
  setText(byId("confidence"), named ? percent(confidence) : "");
  setText(byId("why"), label === null ? whyNot(modalities) : "");
  setScale(byId("scale"), sentiment, ends);
  setText(byId("transcript-committed"), transcript.committed);
  setText(byId("transcript-partial"), transcript.partial);
  for (const [name, chip] of Object.entries(chips)) {
    chip.dataset.present = String(modalities[name]?.present ?? false);
    chip.title = modalities[name]?.present ? "present" : reasonText(modalities[name]?.reason);
  }
}
