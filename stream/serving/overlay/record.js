// The Record button and its dialog, which says what is stored before anything is; every page knows what is recorded.

import { byId, setText } from "./parts.js";

export class Recording {
  #client;
  #changed;
  #dialog = byId("recording");

  constructor(client, changed) {
    this.#client = client;
    this.#changed = changed;
    this.running = null; // {name, since}
    byId("record").addEventListener("click", () => (this.running ? this.#stop() : this.#dialog.showModal()));
    byId("recording-close").addEventListener("click", () => this.#dialog.close());
    byId("recording-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    client.addEventListener("status", ({ detail }) => this.#take(detail));
  }

  // What the sign says while something is recorded.
  get text() {
    if (!this.running) return "";
    const since = new Date(this.running.since * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return `recording ${this.running.name} since ${since}`;
  }

  #take({ state, detail, recording }) {
    // of a client that reads too slowly: it says nothing of the session
    if (state !== "lagging") this.#set(recording ?? null);
    if (state === "recording_failed") this.#warn(`The recording has ended: ${detail}`);
  }

  #set(running) {
    if (running?.name === this.running?.name && running?.since === this.running?.since) return;
    this.running = running;
    if (running) this.#warn("");
    setText(byId("record"), running ? "Stop recording" : "Record");
    byId("record").ariaHasPopup = running ? "false" : "dialog";
    this.#changed();
  }

  #warn(text) {
    byId("alarm").hidden = !text;
    setText(byId("alarm"), text);
  }

  async #start() {
    const given = ["name", "purpose"].map((field) => [field, byId(`recording-${field}`).value.trim()]);
    const fields = Object.fromEntries(given.filter(([, value]) => value));
    setText(byId("recording-refusal"), "");
    try {
      this.#set((await this.#client.request("record", { action: "start", ...fields })).recording);
      byId("recording-form").reset();
      this.#dialog.close();
    } catch (error) {
      setText(byId("recording-refusal"), error.detail ?? error.message);
    }
  }

  async #stop() {
    try {
      const { name, seconds, results } = await this.#client.request("record", { action: "stop" });
      this.#set(null);
      setText(byId("notice"), `recorded ${name}: ${seconds.toFixed(1)} s, ${results} results`);
    } catch (error) {
      this.#warn(error.detail ?? error.message);
    }
  }
}
