// The order as it stands, "A > B = C", in which each ">" is a button that says how much better.

export const SIGNS = [">", "› 1", "» 2", "⋙ 3"];

/** `marks`: places by reply, and steps by place; `press(place)` is called for a sign. */
export function showOrder(bar, cards, marks, words, press) {
  const letters = new Map();
  for (const card of cards) {
    const place = Number(marks.places[card.dataset.reply] ?? 0);
    if (place) letters.set(place, [...(letters.get(place) ?? []), card.dataset.letter]);
  }
  const order = [...letters.keys()].sort((one, other) => one - other);
  if (!order.length) return bar.replaceChildren(words.nothing);
  const focused = bar.contains(document.activeElement) ? document.activeElement.dataset.step : null;
  bar.replaceChildren(...order.flatMap((place, index) => {
    const here = letters.get(place).join(" = ");
    if (index === order.length - 1) return [here];
    return [`${here} `, signOf(place, here, letters.get(order[index + 1]).join(" = ")), " "];
  }));
  if (focused) bar.querySelector(`[data-step="${focused}"]`)?.focus();

  function signOf(place, better, worse) {
    const step = Number(marks.strength[place] ?? 0);
    const sign = Object.assign(document.createElement("button"), { type: "button", className: "step", textContent: SIGNS[step] });
    const said = words.step.replace("{better}", better).replace("{worse}", worse).replace("{step}", words.steps[step]);
    sign.dataset.step = place;
    sign.title = said;
    sign.setAttribute("aria-label", said);
    sign.addEventListener("click", () => press(place));
    return sign;
  }
}
