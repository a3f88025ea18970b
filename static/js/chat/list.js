// The list of conversations: searched as one types, its lines renamed in place, pinned, archived, deleted with undo.

import { toast } from "./toast.js";

const PAUSE_MS = 200;
const LOOK_AGAIN_MS = 4000;
const LOOK_FOR_TITLE_MS = 10_000;

export function keepList(chat) {
  const words = chat.dataset;
  const list = document.querySelector("#list");
  const search = document.querySelector("#search");
  let view = {}; // archive, page: what is shown beside the search
  let newest = 0;

  // --- what is shown -------------------------------------------------------------------------------

  async function refresh() {
    const mine = ++newest;
    const query = new URLSearchParams({ open: words.conversation, ...view });
    if (search.value.trim()) query.set("q", search.value);
    const answer = await fetch(`${words.listUrl}?${query}`, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const lines = await answer.text();
    while (inUse()) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    if (mine !== newest) return;
    const focused = document.activeElement?.closest("#list [data-item]")?.dataset.item;
    list.innerHTML = lines;
    if (focused) line(focused)?.querySelector("a").focus();
    const menu = line(words.conversation)?.querySelector(".menu");
    if (menu) document.querySelector("#conversation-menu").replaceChildren(menu.cloneNode(true));
    takeTitle();
    watch();
  }

  /** What somebody has open, or is just pressing, is not replaced under their hand. */
  function inUse() {
    const here = ":is(#list, #conversation-menu)";
    return document.querySelector(`${here} .menu[open], ${here}:active, #list .renaming`);
  }

  // While a listed reply is being written, the list looks again whether it still is; more seldom for a title that the
  // model may give.
  let looking = 0;
  function watch() {
    clearTimeout(looking);
    if (list.querySelector("[data-written]")) looking = setTimeout(lookAgain, LOOK_AGAIN_MS);
    else if (list.querySelector("[data-untitled]")) looking = setTimeout(lookAgain, LOOK_FOR_TITLE_MS);
  }

  /** Not where nobody sees it, nor while somebody is using it. */
  async function lookAgain() {
    if (!document.hidden && !inUse() && !list.contains(document.activeElement)) await tryRefresh();
    watch();
  }

  const tryRefresh = () => refresh().catch((error) => console.warn(error));
  const line = (id) => id && list.querySelector(`[data-item="${CSS.escape(id)}"]`);

  // A menu near the end of the list opens below what can be seen of it.
  list.addEventListener(
    "toggle",
    (event) => event.target.open && event.target.querySelector(".menu-items")?.scrollIntoView({ block: "nearest" }),
    true, // "toggle" does not bubble
  );

  let timer = 0;
  search.form.addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", () => {
    view = {};
    clearTimeout(timer);
    timer = setTimeout(tryRefresh, PAUSE_MS);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-view]");
    if (!link) return;
    event.preventDefault();
    view = Object.fromEntries(new URL(link.href).searchParams);
    delete view.q;
    tryRefresh();
  });

  // --- what is done with a conversation ------------------------------------------------------------

  async function post(address, body) {
    try {
      const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      return await answer.json();
    } catch (error) {
      console.warn(error);
      toast(words.notDone);
      return null;
    }
  }

  const said = {
    pin: (now) => (now.is_pinned ? words.pinned : words.unpinned),
    archive: (now) => (now.is_archived ? words.archived : words.unarchived),
    delete: () => words.deleted,
  };

  async function act(form) {
    const { verb } = form.dataset;
    const body = new FormData(form);
    form.closest(".menu").open = false;
    const now = await post(form.action, body);
    if (!now) return;
    const text = said[verb](now).replace("{title}", now.title || "…");
    if (verb === "delete" && now.id === words.conversation) {
      location.assign(`/?deleted=${now.id}`); // the page itself says so, with the undo
      return;
    }
    toast(text, verb === "pin" ? null : { label: words.undo, act: () => undo(now.undo ?? form.action, body) });
    await tryRefresh();
  }

  async function undo(address, body) {
    body.set("is_on", body.get("is_on") === "on" ? "" : "on");
    const now = await post(address, body);
    if (!now) return;
    await tryRefresh();
    (line(now.id)?.querySelector("a") ?? search).focus();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-verb]")) act(form);
    else if (form.matches("[data-rename]")) finishRename(form);
    else return;
    event.preventDefault();
  });

  // --- a title that is changed where it stands -----------------------------------------------------

  function startRename(place) {
    const form = place.querySelector("[data-rename]");
    const field = form.elements.title;
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false; // also that at the page's head
    form.hidden = false;
    place.classList.add("renaming");
    field.dataset.before = field.value;
    field.focus();
    field.select();
  }

  function endRename(form) {
    form.hidden = true;
    form.closest("[data-item]").classList.remove("renaming");
    (form.closest("#list [data-item]")?.querySelector("a") ?? document.querySelector("#conversation-menu summary")).focus();
  }

  async function finishRename(form) {
    const field = form.elements.title;
    const body = new FormData(form);
    endRename(form);
    if (field.value === field.dataset.before) return takeTitle();
    const now = await post(form.action, body);
    if (!now) {
      startRename(form.closest("[data-item]")); // what was typed is not lost
      field.value = body.get("title");
      return;
    }
    if (now.id === words.conversation) showTitle(now.title);
    await tryRefresh();
  }

  /** The open conversation's title as the list has it, at the head of the page; not while somebody renames it there. */
  function takeTitle() {
    const title = line(words.conversation)?.querySelector("[data-rename]").elements.title.value;
    const form = document.querySelector(".talk-head [data-rename]");
    if (title && form.hidden && title !== form.elements.title.value) showTitle(title);
  }

  function showTitle(title) {
    document.querySelector("#title").textContent = title;
    document.title = `${title} · Chamsae`;
    document.querySelector(".talk-head [data-rename]").elements.title.value = title;
  }

  const placeOf = (element) => element.closest("#list [data-item]") ?? element.closest(".talk-head")?.querySelector("[data-item]");

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-start-rename]");
    if (button) startRename(placeOf(button));
  });
  document.addEventListener("dblclick", (event) => {
    const title = event.target.closest("#title");
    if (title && words.conversation) startRename(placeOf(title));
  });
  document.addEventListener("keydown", (event) => {
    const form = event.target.closest?.("[data-rename]");
    if (form && event.key === "Escape") {
      form.elements.title.value = form.elements.title.dataset.before;
      endRename(form);
      takeTitle();
      event.stopPropagation();
    } else if (event.key === "F2" && event.target.closest?.("#list [data-item], .talk-head")) {
      event.preventDefault();
      startRename(placeOf(event.target));
    }
  }, true);
  document.addEventListener("focusout", (event) => {
    const form = event.target.closest?.("[data-rename]");
    if (form && !form.hidden && !form.contains(event.relatedTarget)) finishRename(form);
  });

  watch();
  return { refresh: tryRefresh, look: lookAgain, named: (title, id) => named(title, id) };

  /** A new conversation got its address: the form at the head of the page renames that one from now on. */
  function named(title, id) {
    const form = document.querySelector(".talk-head [data-rename]");
    form.action = `/c/${id}/rename/`;
    showTitle(title);
  }
}
