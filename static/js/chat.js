// The chat page: wires composer, socket and messages together.

import { Composer } from "./chat/composer.js";
import { keepFeedback } from "./chat/feedback.js";
import { Follower } from "./chat/follower.js";
import { keepList } from "./chat/list.js";
import { Socket } from "./chat/socket.js";
import { Turns } from "./chat/turns.js";

const chat = document.querySelector("#chat");
const words = chat.dataset;
const show = (selector, text) => {
  const line = document.querySelector(selector);
  line.textContent = text;
  line.hidden = !text;
};
const csrf = () => document.querySelector("#composer [name=csrfmiddlewaretoken]").value;

const follower = new Follower(document.querySelector("#log"), document.querySelector("#jump"));
const turns = new Turns(document.querySelector("#log"), words, follower);
const composer = new Composer(document.querySelector("#composer"), words, { send, stop });
const list = keepList(chat);
const announce = (text) => {
  document.querySelector("#announcement").textContent = text;
};
keepFeedback(document.querySelector("#log"), words, { say: (text) => show("#problem", text), announce, csrf });
const pending = new Map(); // key -> frame that the server has not acknowledged yet
let socket = null;

async function send(text) {
  show("#problem", "");
  if (turns.live()) {
    show("#problem", words.wait);
    return false;
  }
  const parent = turns.lastMessage();
  return deliver(text, parent);
}

async function deliver(text, parent) {
  if (!words.conversation && !(await create(text))) return false;
  const key = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`;
  const frame = { type: "message.send", text, key, parent };
  pending.set(key, frame);
  remember();
  turns.addPending(key, text, parent);
  connect().send(frame);
  return true;
}

// What the server has not acknowledged survives a reload. Its key makes a second send of it harmless.
function remember() {
  const place = `unsent:${words.user}:${words.conversation}`;
  if (pending.size) localStorage.setItem(place, JSON.stringify([...pending.values()]));
  else localStorage.removeItem(place);
}

function recall() {
  for (const frame of JSON.parse(localStorage.getItem(`unsent:${words.user}:${words.conversation}`) ?? "[]")) {
    pending.set(frame.key, frame);
    turns.addPending(frame.key, frame.text, frame.parent);
  }
}

async function create(text) {
  const body = new FormData(document.querySelector("#consent"));
  body.set("text", text);
  try {
    const answer = await fetch(words.createUrl, {
      method: "POST",
      body,
      headers: { Accept: "application/json", "X-CSRFToken": csrf() },
    });
    if (!answer.ok) throw new Error(String(answer.status));
    const made = await answer.json();
    composer.moveDraft(made.id);
    words.conversation = made.id;
    list.named(made.title, made.id);
    history.replaceState(null, "", `/c/${made.id}/`);
    document.querySelector("#consent").action = `/c/${made.id}/consent/`;
    list.refresh();
    return true;
  } catch (error) {
    console.warn(error);
    show("#problem", words.notSent);
    return false;
  }
}

function stop() {
  const reply = turns.live();
  if (reply) socket?.send({ type: "reply.stop", reply: reply.id, seq: turns.freeze(reply.id) });
}

function connect() {
  if (socket) return socket;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new Socket(`${scheme}//${location.host}/ws/chat/${words.conversation}/`, location.href);
  socket.addEventListener("open", () => {
    show("#connection", "");
    for (const frame of pending.values()) socket.send(frame);
    for (const reply of turns.unfinished()) resume(reply);
  });
  socket.addEventListener("lost", () => show("#connection", words.lost));
  socket.addEventListener("refused", (event) => show("#connection", words[event.detail] ?? words.lost));
  socket.addEventListener("frame", (event) => receive(event.detail));
  return socket;
}

function resume(reply) {
  socket.send({ type: "reply.resume", reply: reply.id, after_seq: reply.seq });
}

const handlers = {
  "message.accepted": (frame) => {
    pending.delete(frame.key);
    remember();
    turns.accept(frame);
    composer.setLive(Boolean(turns.live()));
    list.refresh();
  },
  "reply.state": (frame) => {
    turns.setState(frame);
    composer.setLive(Boolean(turns.live()));
  },
  "reply.chunk": (frame) => turns.addChunk(frame),
  "reply.done": (frame) => {
    const text = turns.finish(frame);
    composer.setLive(Boolean(turns.live()));
    document.querySelector("#announcement").textContent = `${words.replied} ${text}`;
  },
  error: (frame) => {
    const lost = pending.get(frame.key);
    pending.delete(frame.key);
    remember();
    if (lost) {
      turns.drop(frame.key);
      composer.giveBack(lost.text);
    }
    const wait = frame.retry_after_s ? words.retryAfter.replace("{n}", Math.ceil(frame.retry_after_s)) : "";
    show("#problem", `${frame.message} ${wait}`.trim());
  },
};

function receive(frame) {
  handlers[frame.type]?.(frame);
}

turns.addEventListener("retry", (event) => {
  if (turns.live()) return show("#problem", words.wait);
  show("#problem", "");
  const { text, parent } = turns.takeBack(event.detail);
  return deliver(text, parent);
});

document.querySelector("#consent").addEventListener("change", async (event) => {
  const form = event.currentTarget;
  if (!words.conversation) return; // a new conversation is made with the choice
  const body = new FormData(form);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    show("#problem", "");
  } catch (error) {
    console.warn(error);
    event.target.checked = !event.target.checked;
    show("#problem", words.consentFailed);
  }
});

for (const button of document.querySelectorAll("[data-suggestion]")) {
  button.addEventListener("click", () => composer.submit(button.textContent.trim()));
}

if (words.conversation) {
  recall();
  connect();
}
composer.setLive(Boolean(turns.live()));
