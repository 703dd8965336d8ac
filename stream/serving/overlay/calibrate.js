// The Calibrate button and its dialog: what to do, a countdown, lines to read, how it goes, and what came of it.

import { byId, element, percent, setText } from "./parts.js";

const FOUND = { face: "face found", voice: "voice heard" };
const SPOKEN_EVERY = 5; // seconds of the countdown between two that screen readers say

export class Calibration {
  #client;
  #dialog = byId("calibration");
  #spoken = null;

  constructor(client) {
    this.#client = client;
    byId("calibrate").addEventListener("click", () => this.#open());
    byId("calibration-close").addEventListener("click", () => this.#dialog.close());
    byId("calibration-again").addEventListener("click", () => this.#show("form"));
    byId("calibration-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start(byId("profile").value, byId("calibration-seconds").valueAsNumber);
    });
    client.addEventListener("calibration", ({ detail }) => this.#take(detail));
    client.addEventListener("state", ({ detail }) => detail.state === "ready" || this.#ended());
    this.#show("form");
  }

  #open() {
    if (this.#dialog.dataset.view === "outcome") this.#show("form");
    this.#dialog.showModal();
  }

  // `view`: form, run or outcome.
  #show(view) {
    this.#dialog.dataset.view = view;
    for (const name of ["form", "run", "outcome"]) byId(`calibration-${name}`).hidden = name !== view;
    setText(byId("calibration-refusal"), "");
  }

  async #start(profile, seconds) {
    try {
      this.#run({ ...(await this.#client.request("calibrate", { profile, seconds })), left: seconds, parts: {} });
    } catch (error) {
      setText(byId("calibration-refusal"), error.detail ?? error.message);
    }
  }

  #take(event) {
    if (event.state === "running") this.#run(event);
    else this.#end(event);
  }

  #run({ profile, seconds, left, task, lines, parts }) {
    this.#show("run");
    setText(byId("calibrate"), `Calibrating ${Math.ceil(left)} s`);
    setText(byId("calibration-who"), profile);
    setText(byId("calibration-task"), task);
    const whole = Math.ceil(left);
    const unit = whole === 1 ? "second" : "seconds";
    setText(byId("calibration-left"), String(whole));
    setText(byId("calibration-unit"), unit);
    byId("calibration-progress").max = seconds;
    byId("calibration-progress").value = seconds - left;
    fill(byId("calibration-lines"), lines, (line) => Object.assign(element("li"), { textContent: line }));
    for (const [name, part] of Object.entries(parts)) showPart(name, part);
    const trouble = Object.values(parts).map(({ advice }) => advice).filter(Boolean).join("; ");
    const due = whole % SPOKEN_EVERY === 0;
    if (due || trouble !== this.#spoken) {
      if (due || trouble) setText(byId("calibration-spoken"), `${whole} ${unit} left. ${trouble}`);
      this.#spoken = trouble;
    }
  }

  #end({ state, message, before, after }) {
    this.#ended();
    this.#show("outcome");
    byId("calibration-outcome").dataset.state = state;
    setText(byId("calibration-verdict"), state === "done" ? "Done" : "Rejected");
    setText(byId("calibration-message"), message);
    byId("calibration-table").hidden = !before;
    fill(byId("calibration-shares"), Object.entries(before ?? {}), ([name, share]) => {
      const row = element("tr", "", { "data-emotion": name });
      const cells = [name, percent(share), percent(after[name])];
      row.append(...cells.map((text, i) => Object.assign(element(i ? "td" : "th"), { textContent: text })));
      return row;
    });
    setText(byId("calibration-spoken"), `${state}: ${message}`);
  }

  #ended() {
    setText(byId("calibrate"), "Calibrate");
    for (const row of byId("calibration-parts").children) row.remove();
    if (this.#dialog.dataset.view === "run") this.#show("form");
  }
}

function showPart(name, { seconds, trouble, advice }) {
  let row = byId("calibration-parts").querySelector(`[data-part=${name}]`);
  if (!row) {
    row = element("li", "", { "data-part": name });
    byId("calibration-parts").append(row);
  }
  row.dataset.trouble = trouble ?? "";
  setText(row, `${trouble ? `○ ${advice}` : `● ${FOUND[name] ?? name}`} · ${seconds.toFixed(1)} s`);
}

// Children of `list` anew, unless they are the same texts already.
function fill(list, items, make) {
  const made = items.map(make);
  if ([...list.children].map((node) => node.textContent).join("\n") === made.map((node) => node.textContent).join("\n")) return;
  list.replaceChildren(...made);
}
