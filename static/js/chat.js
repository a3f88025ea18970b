// The chat page: wires composer, socket and messages together.

import { hear, toldBySocket } from "./bell.js";
import { keepAssistants } from "./chat/assistants.js";
import { lookAt } from "./chat/at.js";
import { Composer } from "./chat/composer.js";
import { hasConsent, keepConsent } from "./chat/consent.js";
import { Editor } from "./chat/editor.js";
import { keepFeedback } from "./chat/feedback.js";
import { Follower } from "./chat/follower.js";
import { keepInside } from "./chat/inside.js";
import { keepInstructions } from "./chat/instructions.js";
import { keepLanguageWarning } from "./chat/language.js";
import { keepList } from "./chat/list.js";
import { keepMeter } from "./chat/meter.js";
import { keepModels } from "./chat/models.js";
import { newKey, Outbox } from "./chat/outbox.js";
import { keepPairs } from "./chat/pair.js";
import { Path } from "./chat/path.js";
import { keepSharing } from "./chat/share.js";
import { keepShortcuts } from "./chat/shortcuts.js";
import { Socket } from "./chat/socket.js";
import { Turns } from "./chat/turns.js";

const chat = document.querySelector("#chat");
const log = document.querySelector("#log");
const words = chat.dataset;
const show = (selector, text) => {
  const line = document.querySelector(selector);
  line.textContent = text;
  line.hidden = !text;
};
const say = (text) => show("#problem", text);
const announce = (text) => {
  document.querySelector("#announcement").textContent = text;
};
const csrf = () => document.querySelector("#composer [name=csrfmiddlewaretoken]").value;

const follower = new Follower(log, document.querySelector("#jump"));
const turns = new Turns(log, words, follower);
const path = new Path(log, words);
const editor = new Editor(words);
const outbox = new Outbox(words);
const composer = new Composer(document.querySelector("#composer"), words, { send, stop });
const list = keepList(chat);
let socket = null;

// What stands beneath a reply, each its own keeper: they hear frames of theirs as events of the log.
const page = { say, announce, csrf, sync, warn: keepLanguageWarning(words) };
keepFeedback(log, words, page);
keepInside(log, page);
keepPairs(log, words, page);
keepAssistants(words, page);
keepModels(words, page);
const chosenInstructions = keepInstructions(words, page);
keepMeter(log, words, { csrf, parent: () => turns.lastMessage(), chosenInstructions });

// --- what a person does ----------------------------------------------------------------------------

/** Whether something new can be asked for now; says why not. */
function isFree() {
  const wait = turns.live() ? words.wait : outbox.all.length ? words.onItsWay : "";
  say(wait);
  return !wait;
}

/** What it said to wait for has come: its words are not left to stand. */
function endWait() {
  const said = document.querySelector("#problem").textContent;
  if (said && [words.wait, words.onItsWay].includes(said) && !turns.live()) say("");
}

async function send(text) {
  if (!isFree()) return false;
  const parent = turns.lastMessage();
  const key = newKey();
  if (!words.conversation && !(await create(text, key))) return false;
  deliver({ text, parent, key });
  return true;
}

function deliver({ text, parent, ...edit }) {
  const frame = outbox.put({ type: "message.send", text, parent, ...edit });
  turns.addPending(frame.key, text, parent);
  connect().send(frame);
}

/** Makes the conversation and takes its first turn; a message that is refused makes none. */
async function create(text, key) {
  await askConsent(); // the switch may have been pressed before this file was loaded
  const body = new FormData(document.querySelector("#consent"));
  body.set("text", text);
  body.set("key", key);
  body.set("assistant", document.querySelector("#assistant").value);
  body.set("model", document.querySelector("#model")?.value ?? "");
  body.set("instructions", chosenInstructions());
  if (words.temporary) body.set("temporary", "on");
  try {
    const answer = await fetch(words.createUrl, {
      method: "POST",
      body,
      headers: { Accept: "application/json", "X-CSRFToken": csrf() },
    });
    if (answer.status === 400) {
      refused(await answer.json());
      return false;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const made = await answer.json();
    composer.moveDraft(made.id);
    words.conversation = made.id;
    if (words.temporary) showEndTemporary(made.id);
    else list.named(made.title, made.id);
    history.replaceState(null, "", `/c/${made.id}/`);
    document.querySelector("#consent").action = `/c/${made.id}/consent/`;
    list.refresh();
    return true;
  } catch (error) {
    console.warn(error);
    say(words.notSent);
    return false;
  }
}

/** A temporary chat can be deleted from now on. */
function showEndTemporary(id) {
  const form = document.querySelector("#end-temporary");
  form.action = `/c/${id}/delete/`;
  form.hidden = false;
}

function stop() {
  for (const { id } of turns.allLive()) socket?.send({ type: "reply.stop", reply: id, seq: turns.freeze(id) });
}

function regenerate({ message, prefix }) {
  if (!isFree()) return;
  follower.toEnd();
  connect().send(outbox.put({ type: "reply.regenerate", message: Number(message), ...(prefix ? { prefix } : {}) }));
}

turns.addEventListener("regenerate", ({ detail: turn }) => regenerate({ message: turn.dataset.message }));
log.addEventListener("regenerate", ({ detail }) => regenerate(detail));

turns.addEventListener("edit", ({ detail: turn }) => editor.open(turn));
editor.addEventListener("send", ({ detail: { turn, text, close } }) => {
  if (!isFree()) return;
  close();
  const { message, parent } = turn.dataset;
  turns.cutFrom(turn);
  composer.field.focus();
  deliver({ text, parent: parent ? Number(parent) : null, edits: Number(message) });
});

let step = null; // the arrow that was pressed: it is found again on the version that it leads to
turns.addEventListener("open", ({ detail: { turn, button } }) => {
  if (!socket?.isOpen) return; // the line beneath says so
  step = { to: button.dataset.open, arrow: button.dataset.step, from: turn, top: 0 };
  socket.send({ type: "path.open", message: Number(button.dataset.open) });
});

// --- the path that is open -------------------------------------------------------------------------

/** Shows the open path as the server has it. */
async function sync() {
  if (!words.conversation || (await path.sync()) || !socket?.isOpen) return;
  show("#connection", words.notOpened);
  setTimeout(sync, 3000);
}

path.addEventListener("taken", ({ detail: keys }) => keys.forEach((key) => outbox.take(key)));

let hadFocus = false;
path.addEventListener("laying", () => {
  hadFocus = log.contains(document.activeElement);
  if (step) step.top = step.from.getBoundingClientRect().top;
});

path.addEventListener("laid", ({ detail: drawn }) => {
  if (socket?.isOpen) show("#connection", "");
  for (const reply of turns.unfinished()) {
    if (drawn.some((turn) => turn.contains(turns.reply(reply.id)))) resume(reply);
  }
  composer.setLive(Boolean(turns.live()));
  const reached = step && turns.message(step.to);
  if (reached) arrive(reached);
  else follower.grew();
  if (hadFocus && !log.contains(document.activeElement)) log.focus({ preventScroll: true }); // what had it is gone
  log.dispatchEvent(new Event("path"));
});

/** The version that was asked for stands where the former one stood, and the same arrow has the focus. */
function arrive(turn) {
  follower.shift(turn.getBoundingClientRect().top - step.top);
  const arrow = turn.querySelector(`[data-step="${step.arrow}"]:enabled`) ?? turn.querySelector("[data-step]:enabled");
  arrow?.focus({ preventScroll: true });
  announce(turn.querySelector("[data-pager]")?.innerText ?? "");
  step = null;
}

// --- what the server says --------------------------------------------------------------------------

function connect() {
  if (socket) return socket;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new Socket(`${scheme}//${location.host}/ws/chat/${words.conversation}/`, location.href);
  socket.addEventListener("open", opened);
  socket.addEventListener("lost", lost);
  socket.addEventListener("refused", (event) => show("#connection", words[event.detail] ?? words.lost));
  socket.addEventListener("frame", (event) => receive(event.detail));
  return socket;
}

/** Catches up, however long the line was down: what was not acknowledged, what was stopped, what was missed. */
async function opened() {
  show("#connection", "");
  toldBySocket(true);
  for (const frame of outbox.all) socket.send(frame);
  for (const [reply, seq] of turns.frozen) socket.send({ type: "reply.stop", reply, seq });
  for (const reply of turns.unfinished()) resume(reply);
  await sync();
}

function lost() {
  show("#connection", words.lost);
  toldBySocket(false);
}

function resume(reply) {
  socket?.send({ type: "reply.resume", reply: reply.id, after_seq: reply.seq });
}

turns.addEventListener("missing", ({ detail: reply }) => resume(reply));

const handlers = {
  "message.accepted": (frame) => {
    const sent = outbox.take(frame.key);
    if (sent) turns.accept(frame);
    path.touch();
    if (!sent || sent.edits || frame.pair || log.querySelector("[data-pair]")) sync();
    composer.setLive(Boolean(turns.live()));
    list.refresh();
  },
  "reply.accepted": (frame) => {
    outbox.take(frame.key);
    sync();
    list.refresh();
  },
  "path.opened": () => sync(),
  "reply.state": (frame) => {
    turns.setState(frame);
    composer.setLive(Boolean(turns.live()));
  },
  "reply.chunk": (frame) => turns.addChunk(frame),
  "reply.done": (frame) => {
    const text = turns.finish(frame);
    composer.setLive(Boolean(turns.live()));
    endWait();
    list.look();
    const ending = frame.state === "complete" ? "" : turns.stateOf(frame.reply);
    if (text || ending) announce([text && `${words.replied} ${text}`, ending].filter(Boolean).join(" "));
  },
  "notices.unread": (frame) => hear(frame.count),
  error: (frame) => {
    const sent = outbox.take(frame.key);
    if (sent?.type === "message.send") giveBack(sent);
    refused(frame);
  },
};

function refused({ message, retry_after_s: seconds }) {
  const wait = seconds ? words.retryAfter.replace("{n}", Math.ceil(seconds)) : "";
  say(`${message} ${wait}`.trim());
}

function receive(frame) {
  if (handlers[frame.type]) handlers[frame.type](frame);
  else log.dispatchEvent(new CustomEvent(`frame:${frame.type}`, { detail: frame }));
}

/** A message that was not taken goes back to where it was written. */
async function giveBack({ key, text, edits }) {
  turns.drop(key);
  if (!edits) return composer.giveBack(text);
  await path.sync();
  const turn = turns.message(edits);
  if (turn) editor.open(turn, text);
  else composer.giveBack(text);
}

/** Switches training off again where the person does not agree to its words. */
async function askConsent() {
  const choice = document.querySelector("#consent [name=may_train]");
  if (choice.checked && !(await hasConsent())) choice.checked = false;
}

document.querySelector("#consent").addEventListener("change", async (event) => {
  const form = event.currentTarget;
  const choice = event.target;
  if (choice.checked) {
    await askConsent();
    if (!choice.checked) return;
  }
  if (!words.conversation) return; // a new conversation is made with the choice
  const body = new FormData(form);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    say("");
    showUses(!choice.checked);
  } catch (error) {
    console.warn(error);
    choice.checked = !choice.checked;
    say(words.consentFailed);
  }
});

/** Who withdraws consent is shown the way to what has learnt already. */
function showUses(isWithdrawn) {
  const link = document.querySelector("#uses");
  link.href = `/c/${words.conversation}/uses/`;
  link.hidden = !isWithdrawn;
  if (isWithdrawn) announce(words.consentWithdrawn);
}

for (const button of document.querySelectorAll("[data-suggestion]")) {
  button.addEventListener("click", () => composer.submit(button.textContent.trim()));
}

if (words.conversation) {
  for (const frame of outbox.recall()) turns.addPending(frame.key, frame.text, frame.parent);
  connect();
}
composer.setLive(Boolean(turns.live()));

keepConsent(words);
keepSharing(words);
keepShortcuts(chat, { stop, isLive: () => turns.allLive().length > 0 });
lookAt(log, follower, (message) => {
  const ask = () => socket.send({ type: "path.open", message });
  if (socket.isOpen) ask();
  else socket.addEventListener("open", ask, { once: true });
});
chat.dataset.ready = ""; // Enter sends from now on
