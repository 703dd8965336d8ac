// A client for miar-live in one file, for web pages and for Node 22 or later; nothing else is needed. Copied by itself
// for Node it is called miar-client.mjs; in its own folder package.json says that it is a module.
//
//   import { MiarClient } from "./miar-client.js";
//   const client = new MiarClient("ws://127.0.0.1:8765/", { events: ["result"], maxRate: 10 });
//   client.addEventListener("result", (event) => console.log(event.detail.label));
//
// Every message of the server is dispatched as an event named by its type, with the message as `detail`:
// hello, ready, result, transcript, status, landmarks, calibration, reply, error. "state" tells how the connection is:
// connecting, ready, waiting (detail.seconds until the next attempt), refused (wrong token), closed.

const FIRST_WAIT = 0.25;
const LONGEST_WAIT = 8;
const BAD_TOKEN = 4001;

export class MiarClient extends EventTarget {
  #url;
  #WebSocket;
  #options;
  #socket = null;
  #timer = null;
  #wait = FIRST_WAIT;
  #nextId = 1;
  #pending = new Map();

  // `WebSocket` is the class to connect with, for a Node older than 22 that brings one from elsewhere.
  constructor(url, { token = null, events = null, maxRate = null, WebSocket = globalThis.WebSocket } = {}) {
    super();
    if (!WebSocket) throw new Error("there is no WebSocket here: use Node 22 or later, or give one as an option");
    this.#WebSocket = WebSocket;
    this.#url = url;
    this.#options = { token, events, maxRate };
    this.state = "connecting";
    this.hello = null;
    queueMicrotask(() => this.#connect());
  }

  // Carries out a request ("pause", "resume", "set_rate", ...) and resolves to the data of its reply; the error that it
  // is rejected with has the `code` of docs/protocol.md.
  request(type, fields = {}) {
    if (this.state !== "ready") return Promise.reject(new Error("not connected"));
    const id = this.#nextId++;
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#send({ ...fields, type, id });
    return answer;
  }

  // Connects anew with this token, for instance after "refused".
  useToken(token) {
    this.#options.token = token;
    this.#wait = FIRST_WAIT;
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#tell("closed");
  }

  #connect() {
    if (this.state === "closed") return;
    clearTimeout(this.#timer);
    this.#drop();
    this.#tell("connecting");
    const socket = new this.#WebSocket(this.#url, ["miar.v1.json"]);
    this.#socket = socket;
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.code);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.close();
    for (const { reject } of this.#pending.values()) reject(new Error("connection lost"));
    this.#pending.clear();
  }

  #lost(code) {
    this.#drop();
    if (code === BAD_TOKEN) {
      this.#tell("refused");
      return;
    }
    // a spread of a quarter keeps many pages from knocking at the same moment
    const seconds = this.#wait * (0.75 + 0.5 * Math.random());
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    this.#timer = setTimeout(() => this.#connect(), seconds * 1000);
    this.#tell("waiting", { seconds });
  }

  #receive(data) {
    const message = JSON.parse(data);
    if (message.type === "hello") this.#greet(message);
    if (message.type === "ready") {
      this.#wait = FIRST_WAIT;
      this.#tell("ready");
    }
    if (message.type === "reply" || message.type === "error") this.#settle(message);
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  #greet(hello) {
    const { token, events, maxRate } = this.#options;
    this.hello = hello;
    const identify = { type: "identify" };
    if (token) identify.token = token;
    if (events) identify.events = events;
    if (maxRate) identify.max_rate = maxRate;
    this.#send(identify);
  }

  #settle(message) {
    const waiting = this.#pending.get(message.id);
    if (!waiting) return;
    this.#pending.delete(message.id);
    if (message.type === "reply") waiting.resolve(message.data);
    else waiting.reject(Object.assign(new Error(`${message.code}: ${message.message}`), { code: message.code, detail: message.message }));
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #tell(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }
}
