// A look inside a reply: its tokens, each shaded by its probability, and what could have stood in the place of one.

const PAUSES_MS = [300, 500, 800, 1200, 2000]; // between two looks at how far the server is
const LEAST_OF_SHADE = [0.01, 0.1, 0.3, 0.6, 0.9];

/** `announce(text)` tells a screen reader; a continuation is asked for by the log's event "regenerate". */
export function keepInside(log, { announce, csrf }) {
  const template = document.querySelector("#inside-panel");
  const words = template.dataset;
  const percent = new Intl.NumberFormat(document.documentElement.lang, { style: "percent", maximumFractionDigits: 1 });

  const probability = (logprob) => {
    const value = Math.exp(logprob);
    return value < 0.001 ? `< ${percent.format(0.001)}` : percent.format(value);
  };

  // --- opening and asking --------------------------------------------------------------------------

  function toggle(turn) {
    if (turn.querySelector("[data-inside]")) return close(turn);
    const panel = template.content.firstElementChild.cloneNode(true);
    turn.querySelector("[data-text]").after(panel);
    turn.querySelector("[data-look]").setAttribute("aria-expanded", "true");
    panel.querySelector("[data-inside-retry]").addEventListener("click", () => load(turn, panel));
    return load(turn, panel);
  }

  function close(turn) {
    turn.querySelector("[data-inside]")?.remove();
    turn.querySelector("[data-look]")?.setAttribute("aria-expanded", "false");
  }

  async function load(turn, panel) {
    panel.querySelector("[data-inside-retry]").hidden = true;
    say(panel, words.computing);
    const address = (url) => url.replace("/0/", `/${turn.dataset.reply}/`);
    try {
      let told = await ask(address(words.askUrl), { method: "POST", headers: { "X-CSRFToken": csrf() } });
      for (let looks = 0; told.state === "queued"; looks += 1) {
        await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[looks] ?? PAUSES_MS.at(-1)));
        if (!panel.isConnected) return; // closed meanwhile: it goes on being computed
        told = await ask(address(words.url));
      }
      if (told.state === "ready") show(turn, panel, told);
      else fail(panel, told.message, told.retryable);
    } catch (error) {
      console.warn(error);
      fail(panel, words.failed, true);
    }
  }

  async function ask(url, options = {}) {
    const answer = await fetch(url, { ...options, headers: { Accept: "application/json", ...options.headers } });
    return answer.json();
  }

  function say(panel, text) {
    panel.querySelector("[data-inside-state]").textContent = text;
  }

  function fail(panel, text, isRetryable) {
    say(panel, text);
    panel.querySelector("[data-inside-retry]").hidden = !isRetryable;
  }

  // --- the tokens ----------------------------------------------------------------------------------

  function show(turn, panel, { tokens, changed }) {
    say(panel, "");
    const list = panel.querySelector("[data-tokens]");
    list.replaceChildren(...tokens.map((token) => cellOf(token)));
    list.firstElementChild?.setAttribute("tabindex", "0");
    panel.querySelector("[data-inside-changed]").hidden = !changed;
    panel.querySelector("[data-inside-given]").hidden = !tokens.some(({ given }) => given);
    panel.querySelector("[data-inside-shown]").hidden = false;
    panel.scrollIntoView({ block: "nearest" });
    list.addEventListener("click", (event) => {
      const cell = event.target.closest("[role=option]");
      if (cell) choose(turn, panel, tokens, cell);
    });
    list.addEventListener("keydown", (event) => pressed(event, turn, panel, tokens));
  }

  function cellOf({ text, logprob, given }) {
    const cell = document.createElement("span");
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-selected", "false");
    cell.tabIndex = -1;
    cell.className = ["token", given && "given", logprob !== null && `p${shadeOf(logprob)}`].filter(Boolean).join(" ");
    cell.textContent = visible(text);
    const said = [logprob !== null && probability(logprob), given && words.given].filter(Boolean).join(", ");
    cell.ariaLabel = words.token.replace("{token}", spoken(text)).replace("{probability}", said);
    cell.title = said;
    return cell;
  }

  function shadeOf(logprob) {
    return LEAST_OF_SHADE.filter((least) => Math.exp(logprob) >= least).length;
  }

  /** The text, with a sign for what one would not see. */
  function visible(text) {
    return text === "" ? "·" : text.replaceAll("\n", "↵\n").replaceAll("\t", "⇥\t");
  }

  function spoken(text) {
    if (text === "") return words.part;
    if (text.trim()) return text.trim();
    return text.includes("\n") ? words.line : words.space;
  }

  function pressed(event, turn, panel, tokens) {
    const cells = [...event.currentTarget.children];
    const at = cells.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: cells.length - 1 };
    if (event.key === "Enter" || event.key === " ") choose(turn, panel, tokens, event.target);
    else if (cells[to[event.key]]) reach(cells, cells[to[event.key]]);
    else if (!(event.key in to)) return;
    event.preventDefault();
  }

  function reach(cells, cell) {
    for (const other of cells) other.tabIndex = other === cell ? 0 : -1;
    cell.focus();
  }

  // --- what could have stood there -----------------------------------------------------------------

  function choose(turn, panel, tokens, cell) {
    const cells = [...cell.parentElement.children];
    reach(cells, cell);
    for (const other of cells) other.setAttribute("aria-selected", String(other === cell));
    const at = cells.indexOf(cell);
    const { top, ...written } = tokens[at];
    const isWritten = (choice) => (written.id === null ? choice.text === written.text : choice.id === written.id);
    const choices = top.some(isWritten) || !top.length ? top : [...top, written];
    const before = tokens.slice(0, at).map((token) => token.text).join("");
    const lines = choices.map((choice) => lineOf(turn, choice, isWritten(choice), before));
    panel.querySelector("[data-choices-list]").replaceChildren(...(lines.length ? lines : [noneLine()]));
    const box = panel.querySelector("[data-choices]");
    box.hidden = false;
    cell.style.scrollMarginBlock = `1rem ${box.offsetHeight + 24}px`; // the box would cover it
    cell.scrollIntoView({ block: "nearest" });
    const told = words.shown.replace("{token}", spoken(written.text)).replace("{n}", choices.length);
    announce(lines.length ? told : words.none);
  }

  function noneLine() {
    const line = document.createElement("li");
    line.textContent = words.none;
    return line;
  }

  function lineOf(turn, choice, isWritten, before) {
    const line = document.createElement("li");
    line.classList.toggle("chosen", isWritten);
    const bar = document.createElement("progress");
    bar.className = "progress";
    bar.max = 1;
    bar.value = Math.exp(choice.logprob);
    bar.ariaHidden = "true";
    const number = document.createElement("span");
    number.className = "num";
    number.textContent = probability(choice.logprob);
    line.append(textOf(choice), bar, number, isWritten ? badge(words.written) : verbOf(turn, choice, before));
    return line;
  }

  function textOf(choice) {
    const text = document.createElement("span");
    text.className = "choice-text";
    if (choice.special || choice.text === "") {
      const name = document.createElement(choice.special ? "code" : "span");
      name.textContent = choice.special ?? words.part;
      text.append(name);
    } else {
      text.dir = "auto";
      text.textContent = visible(choice.text.replace(/ /g, "␣"));
    }
    return text;
  }

  function badge(text) {
    const mark = document.createElement("span");
    mark.className = "badge";
    mark.textContent = text;
    return mark;
  }

  /** Only what is text can begin a reply: no control token, no part of a character. */
  function verbOf(turn, choice, before) {
    if (!choice.text) return badge(choice.special ? words.control : words.part);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = words.continue;
    button.ariaLabel = words.continueWith.replace("{token}", spoken(choice.text));
    button.addEventListener("click", () => {
      close(turn);
      const detail = { message: Number(turn.dataset.message), prefix: before + choice.text };
      log.dispatchEvent(new CustomEvent("regenerate", { detail }));
    });
    return button;
  }

  log.addEventListener("click", (event) => {
    const button = event.target.closest("[data-look]");
    if (button) toggle(button.closest("[data-reply]"));
  });
}
