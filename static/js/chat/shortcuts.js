// Keys for whoever would rather not reach for the mouse, and the sheet that lists them.

const HIDDEN = "list-hidden";
const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

export function keepShortcuts(chat, { stop, isLive }) {
  const sheet = document.querySelector("#shortcuts");
  const list = document.querySelector("#conversations");
  const isNarrow = () => matchMedia("(max-width: 52rem)").matches;

  if (IS_MAC) for (const key of sheet.querySelectorAll("[data-ctrl]")) key.textContent = "⌘";
  if (localStorage.getItem(HIDDEN)) chat.classList.add(HIDDEN);

  function toggleList() {
    if (isNarrow()) return list.togglePopover();
    const isHidden = chat.classList.toggle(HIDDEN);
    if (isHidden) localStorage.setItem(HIDDEN, "1");
    else localStorage.removeItem(HIDDEN);
    return undefined;
  }

  function showList() {
    if (isNarrow()) list.showPopover();
    else if (chat.classList.contains(HIDDEN)) toggleList();
  }

  const act = {
    create: () => location.assign("/"),
    search: () => {
      showList();
      document.querySelector("#search").focus();
      document.querySelector("#search").select();
    },
    write: () => document.querySelector("#text").focus(),
    copy: () => [...document.querySelectorAll("#log article.assistant [data-copy]")].filter(isShown).at(-1)?.click(),
    rename: () => document.querySelector("#conversation-menu [data-start-rename]")?.click(),
    remove: () => document.querySelector("#conversation-menu [data-verb=delete]")?.requestSubmit(),
    toggleList,
    sheet: () => (sheet.open ? sheet.close() : sheet.showModal()),
    stop,
  };

  /** Which of them a press means. By `code` where Shift or a Korean keyboard would change the letter. */
  function meant(event) {
    const isTyping = event.target.matches?.("input, textarea, select, [contenteditable]");
    const ctrl = (IS_MAC ? event.metaKey : event.ctrlKey) && !event.altKey;
    if (ctrl && event.shiftKey) {
      return { KeyO: "create", KeyC: "copy", KeyS: "toggleList", Backspace: "remove" }[event.code];
    }
    if (ctrl) return event.code === "KeyK" ? "search" : event.code === "Slash" ? "sheet" : undefined;
    if (event.altKey || event.metaKey) return undefined;
    if (event.key === "Escape") {
      if (event.shiftKey) return "write";
      return isLive() && !document.querySelector("dialog:modal, .menu[open], :popover-open") ? "stop" : undefined;
    }
    if (event.key === "F2" && !isTyping && !event.target.closest?.("#list [data-item]")) return "rename";
    return event.key === "?" && !isTyping ? "sheet" : undefined;
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.repeat) return;
    const name = meant(event);
    if (!name || (document.querySelector("dialog:modal") && name !== "sheet")) return;
    event.preventDefault();
    act[name]();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-shortcuts]")) act.sheet();
    if (event.target.closest("[data-toggle-list]")) toggleList();
    if (event.target === sheet) sheet.close(); // a click beside it
  });
}

const isShown = (element) => element.checkVisibility?.() ?? element.offsetParent !== null;
