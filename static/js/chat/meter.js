// How much of the model's context each part of the next prompt takes, counted by the server while one writes.

const PAUSE_MS = 250;

export function keepMeter(log, words, { csrf, parent, chosenInstructions }) {
  const meter = document.querySelector("#meter");
  const button = meter.querySelector("button");
  const unseen = document.querySelector("#unseen");
  const field = document.querySelector("#text");
  const choice = document.querySelector("#assistant");
  const model = document.querySelector("#model"); // absent where there is only one
  const number = new Intl.NumberFormat(document.documentElement.lang);
  let timer = 0;
  let newest = 0;

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(count, PAUSE_MS);
  }

  async function count() {
    const mine = ++newest;
    try {
      const answer = await fetch(meter.dataset.url, {
        method: "POST",
        body: new URLSearchParams({
          text: field.value,
          conversation: words.conversation,
          parent: parent() ?? "",
          assistant: choice.value,
          model: model?.value ?? "",
          instructions: chosenInstructions(),
        }),
        headers: { Accept: "application/json", "X-CSRFToken": csrf() },
        redirect: "error",
      });
      if (!answer.ok) throw new Error(String(answer.status));
      const counted = await answer.json();
      if (mine === newest) show(counted);
    } catch (error) {
      console.warn(error);
      if (mine === newest) meter.hidden = true; // an old number would be a wrong one
    }
  }

  function show(counted) {
    const warning = counted.problem || counted.notice || "";
    if (unseen.textContent !== warning) unseen.textContent = warning;
    unseen.hidden = !warning;
    unseen.classList.toggle("error", Boolean(counted.problem));
    meter.hidden = !counted.parts;
    if (counted.parts) draw(counted);
  }

  function draw({ context, prompt, parts, is_exact, problem }) {
    const free = Math.max(0, context - prompt - parts.reply);
    for (const [name, tokens] of Object.entries({ ...parts, free })) {
      meter.querySelector(`[data-share="${name}"]`).style.flexGrow = tokens;
      const row = meter.querySelector(`[data-part="${name}"]`);
      row.querySelector("dd").textContent = number.format(tokens);
      row.hidden = tokens === 0 && (name === "instructions" || name === "examples");
    }
    const sum = is_exact ? meter.dataset.sum : meter.dataset.guess;
    meter.querySelector("[data-sum-words]").textContent = sum
      .replace("{used}", number.format(prompt))
      .replace("{all}", number.format(context));
    meter.classList.toggle("full", Boolean(problem));
  }

  function open(isOpen) {
    button.setAttribute("aria-expanded", String(isOpen));
  }

  button.addEventListener("click", () => open(button.getAttribute("aria-expanded") !== "true"));
  meter.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || button.getAttribute("aria-expanded") !== "true") return;
    event.stopPropagation();
    open(false);
  });
  document.addEventListener("click", (event) => meter.contains(event.target) || open(false));

  field.addEventListener("input", soon);
  choice.addEventListener("chosen", soon);
  model?.addEventListener("chosen", soon);
  document.querySelector("#instructions")?.addEventListener("chosen", soon);
  // Turns come, end, are edited and paged through: whatever changes them changes the history.
  new MutationObserver(soon).observe(log, { childList: true, subtree: true, attributeFilter: ["data-state"] });
  count();
}
