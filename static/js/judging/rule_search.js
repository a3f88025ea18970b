// A rule is flagged by a few letters of its name: F, a letter or two, Enter. Without script it is chosen from a list.

const MOST_SHOWN = 5;

/** Rules of a list whose name or text has the words, those first whose name begins with them. */
function matching(options, typed) {
  const wanted = typed.trim().toLowerCase();
  const rank = (option) => {
    const name = option.textContent.toLowerCase();
    if (name.startsWith(wanted)) return 0;
    if (name.split(/\s+/).some((word) => word.replace(/^\P{L}+/u, "").startsWith(wanted))) return 1;
    if (name.includes(wanted)) return 2;
    return option.dataset.says.toLowerCase().includes(wanted) ? 3 : 4;
  };
  const found = options.map((option) => [rank(option), option]).filter(([place]) => place < 4);
  return found.sort(([one], [other]) => one - other).slice(0, MOST_SHOWN).map(([, option]) => option);
}

export function searchRules(card, words, { changed, leave }) {
  const list = card.querySelector("[data-rule-list]");
  const field = card.querySelector("[data-rule-search]");
  const input = field.querySelector("input");
  const found = field.querySelector("ul");
  const flagged = card.querySelector("[data-flagged]");
  const options = [...list.querySelectorAll("option")].filter((option) => option.value);
  let active = 0;

  list.hidden = list.disabled = true;
  field.hidden = false;

  const boxes = () => [...flagged.querySelectorAll("input")];
  const isFlagged = (value) => boxes().some((box) => box.value === value && box.checked);

  function set(value, isOn) {
    const known = boxes().find((box) => box.value === value);
    if (known) known.closest("li").remove();
    if (!isOn) return;
    const option = options.find((each) => each.value === value);
    if (option) flagged.append(lineOf(option));
  }

  function lineOf(option) {
    const line = document.createElement("li");
    const label = Object.assign(document.createElement("label"), { className: "badge bad" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "flag", value: option.value, checked: true });
    label.append(box, ` ${option.textContent}`);
    const more = Object.assign(document.createElement("a"), {
      className: "button small quiet square", href: `#rule-${option.value.split(":")[1]}`, textContent: "?",
    });
    more.dataset.rule = option.value.split(":")[1];
    more.setAttribute("aria-label", option.textContent);
    line.append(label, more);
    return line;
  }

  function show() {
    const shown = input.value.trim() ? matching(options, input.value) : [];
    active = 0;
    found.replaceChildren(...shown.map(itemOf));
    if (input.value.trim() && !shown.length) {
      found.append(Object.assign(document.createElement("li"), { className: "muted small", textContent: words.noRule }));
    }
    found.hidden = !found.children.length;
    input.setAttribute("aria-expanded", String(!found.hidden));
    point();
  }

  function itemOf(option, place) {
    const item = document.createElement("li");
    item.id = `${found.id}-${place}`;
    item.setAttribute("role", "option");
    item.textContent = option.textContent;
    item.title = option.dataset.says;
    item.dataset.value = option.value;
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      choose(option.value);
    });
    return item;
  }

  function point() {
    const items = [...found.querySelectorAll("[role=option]")];
    items.forEach((item, place) => item.setAttribute("aria-selected", String(place === active)));
    if (items[active]) input.setAttribute("aria-activedescendant", items[active].id);
    else input.removeAttribute("aria-activedescendant");
  }

  function choose(value) {
    set(value, !isFlagged(value));
    close();
    changed();
    leave();
  }

  function close() {
    input.value = "";
    show();
  }

  input.addEventListener("input", show);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    const items = found.querySelectorAll("[role=option]");
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && items[active]) choose(items[active].dataset.value);
    else if (event.key === "ArrowDown" && items.length) active = (active + 1) % items.length;
    else if (event.key === "ArrowUp" && items.length) active = (active + items.length - 1) % items.length;
    else if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    point();
  });
  flagged.addEventListener("change", (event) => {
    set(event.target.value, event.target.checked);
    changed(); // the box is gone, so nobody above is told
  });

  return {
    focus: () => input.focus(),
    flags: () => boxes().filter((box) => box.checked).map((box) => box.value),
    apply(wanted) {
      for (const box of boxes()) if (!wanted.includes(box.value)) set(box.value, false);
      for (const value of wanted) if (!isFlagged(value)) set(value, true);
    },
  };
}
