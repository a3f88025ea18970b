// What a reader says of a reply: a thumb with reasons, and a report or a broken rule, all without leaving the page.

const KEYS = { "+": "up", "=": "up", "-": "down" };

/** `say(text)` shows a problem, `announce(text)` tells a screen reader; `words` are those of the chat. */
export function keepFeedback(log, words, { say, announce, csrf }) {
  const dialog = document.querySelector("#report-dialog");
  let asked = null; // the turn that the dialog is about

  const groupOf = (turn) => turn.querySelector("[data-thumbs]");
  const address = (group, turn) => group.dataset.url.replace("/0/", `/${turn.dataset.message}/`);
  const given = (group) => group.querySelector("[aria-pressed=true]")?.dataset.thumb ?? "none";

  async function save(turn, thumb, form) {
    const group = groupOf(turn);
    const body = form ? new FormData(form) : new FormData();
    body.set("thumb", thumb);
    try {
      const answer = await fetch(address(group, turn), { method: "POST", body, headers: headers() });
      const said = await answer.json();
      if (!answer.ok) return say(said.message ?? words.feedbackFailed);
      show(group, said);
      announce(said.thumb === "none" ? words.thumbTaken : words.thumbKept);
      return true;
    } catch (error) {
      console.warn(error);
      say(words.feedbackFailed);
      return false;
    }
  }

  function show(group, { thumb, reasons, comment }) {
    for (const button of group.querySelectorAll("[data-thumb]")) {
      button.setAttribute("aria-pressed", String(button.dataset.thumb === thumb));
    }
    group.dataset.reasons = reasons.join(" ");
    group.dataset.comment = comment;
    group.querySelector("[data-why]").hidden = thumb === "none";
  }

  async function thumbed(turn, thumb) {
    const group = groupOf(turn);
    const wanted = given(group) === thumb ? "none" : thumb;
    close(turn);
    if (await save(turn, wanted)) wanted !== "none" && openWhy(turn);
  }

  function openWhy(turn) {
    const group = groupOf(turn);
    close(turn);
    const form = document.querySelector(`#why-${given(group)}`).content.firstElementChild.cloneNode(true);
    const chosen = group.dataset.reasons.split(" ");
    for (const box of form.querySelectorAll("[name=reason]")) box.checked = chosen.includes(box.value);
    form.elements.comment.value = group.dataset.comment;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!(await save(turn, given(group), form))) return;
      close(turn);
      group.querySelector("[data-why]").focus();
    });
    turn.querySelector("[data-actions]").after(form);
    group.querySelector("[data-why]").setAttribute("aria-expanded", "true");
    form.scrollIntoView({ block: "nearest" });
  }

  function close(turn) {
    turn.querySelector("[data-why-form]")?.remove();
    groupOf(turn)?.querySelector("[data-why]").setAttribute("aria-expanded", "false");
  }

  // --- report and rules ----------------------------------------------------------------------------

  async function openReport(turn) {
    const link = turn.querySelector("[data-report]");
    asked = turn;
    try {
      await fill(link.href);
      if (!dialog.open) dialog.showModal();
    } catch (error) {
      console.warn(error);
      location.assign(link.href); // the page of its own says why
    }
  }

  async function fill(href) {
    const answer = await fetch(`${href}?part`);
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    dialog.querySelector("[data-form]").innerHTML = await answer.text(); // a form that the server made
    problem("");
  }

  function problem(text) {
    const line = dialog.querySelector("[data-problem]");
    line.textContent = text;
    line.hidden = !text;
  }

  async function submitted(event) {
    event.preventDefault();
    const form = event.target;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: headers() });
      const said = await answer.json();
      if (!answer.ok) return problem(wordsOf(said) || dialog.dataset.failed);
      if (form.hasAttribute("data-take-back")) return await fill(asked.querySelector("[data-report]").href);
      dialog.close();
      return announce(said.message);
    } catch (error) {
      console.warn(error);
      return problem(dialog.dataset.failed);
    }
  }

  function wordsOf(said) {
    return Object.values(said.errors ?? {})
      .flat()
      .map((error) => error.message)
      .join(" ");
  }

  const headers = () => ({ Accept: "application/json", "X-CSRFToken": csrf() });

  /** A turn that this page made has addresses without a number until the server gave it one. */
  function number(event) {
    const turn = event.target.closest?.(".turn.assistant");
    if (!turn?.dataset.message) return;
    for (const link of turn.querySelectorAll('a[href*="/messages/0/"]')) {
      link.setAttribute("href", link.getAttribute("href").replace("/0/", `/${turn.dataset.message}/`));
    }
  }

  // --- events --------------------------------------------------------------------------------------

  log.addEventListener("pointerover", number);
  log.addEventListener("focusin", number);

  log.addEventListener("click", (event) => {
    const turn = event.target.closest(".turn.assistant");
    const thumb = event.target.closest("[data-thumb]");
    if (thumb) thumbed(turn, thumb.dataset.thumb);
    else if (event.target.closest("[data-why]")) turn.querySelector("[data-why-form]") ? close(turn) : openWhy(turn);
    else if (event.target.closest("[data-why-form] [data-close]")) close(turn);
    else if (event.target.closest("[data-report]") && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      openReport(turn);
    }
  });

  log.addEventListener("keydown", (event) => {
    const turn = event.target.closest(".turn.assistant");
    const isWriting = event.target.closest("textarea, input, select");
    if (event.key === "Escape" && turn?.querySelector("[data-why-form]")) {
      close(turn);
      groupOf(turn).querySelector("[data-why]").focus();
    }
    if (!turn || isWriting || event.ctrlKey || event.metaKey || event.altKey) return;
    if (turn.querySelector("[data-actions]")?.hidden ?? true) return;
    if (KEYS[event.key]) thumbed(turn, KEYS[event.key]);
    else if (event.key === "!") openReport(turn);
    else return;
    event.preventDefault();
  });

  dialog.addEventListener("submit", submitted);
  dialog.addEventListener("click", (event) => {
    if (!event.target.closest("[data-close]") && event.target !== dialog) return;
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => asked?.querySelector("[data-report]")?.focus());
}
