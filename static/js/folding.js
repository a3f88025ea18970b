// Long replies of a ranking task are folded at one height for all of them, and unfolded all at once: none is read less
// than another because of where the page cut it. Without script nothing is folded.

const SPARED_LINES = 4; // fewer hidden lines than that are not worth a click

/** `words`: what a button says, with {n} for the characters that are hidden; `isOpen`: they were unfolded before;
 * `changed` is called when they are unfolded. Tells what is folded, and which replies stand whole. */
export function foldReplies(cards, words, isOpen, changed) {
  const texts = cards.map((card) => card.querySelector(".reply-text"));
  const height = heightOf(texts[0]);
  const spared = height + SPARED_LINES * parseFloat(getComputedStyle(texts[0]).lineHeight);
  const hasFolded = texts.some((text) => text.scrollHeight > spared);
  const hidden = texts.map((text) => (hasFolded ? charactersBelow(text, height) : 0));
  const buttons = cards.map((card) => card.querySelector("[data-unfold]"));
  let isFolded = hasFolded && !isOpen;
  if (isFolded) fold();

  function fold() {
    texts.forEach((text, place) => {
      text.classList.add("folded");
      text.classList.toggle("cut", hidden[place] > 0);
      buttons[place].hidden = !hidden[place];
      buttons[place].textContent = words.replace("{n}", hidden[place].toLocaleString());
      buttons[place].addEventListener("click", () => unfold(cards[place]));
      // What scrolls into sight within a folded text, as by a search or the Tab key, is not to be cut again.
      text.addEventListener("scroll", () => unfold(), { once: true });
    });
  }

  function unfold(card) {
    if (!isFolded) return;
    isFolded = false;
    for (const text of texts) text.classList.remove("folded", "cut");
    for (const button of buttons) button.hidden = true;
    card?.focus();
    changed();
  }

  return {
    hasFolded,
    isFolded: () => isFolded,
    isUnfolded: () => hasFolded && !isFolded,
    unfold,
    whole: () => cards.filter((_card, place) => !isFolded || !hidden[place]),
  };
}

/** The height at which the style sheet folds, in pixels. */
function heightOf(text) {
  text.classList.add("folded");
  const height = parseFloat(getComputedStyle(text).maxHeight);
  text.classList.remove("folded");
  return height;
}

/** How many characters stand below the height. */
function charactersBelow(text, height) {
  const edge = text.getBoundingClientRect().top + height;
  const nodes = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  let count = 0;
  while (nodes.nextNode()) count += below(nodes.currentNode, range, edge);
  return count;
}

/** Of one node, whose characters follow each other down the page. */
function below(node, range, edge) {
  const isAbove = (end) => {
    range.setStart(node, end - 1);
    range.setEnd(node, end);
    return range.getBoundingClientRect().bottom <= edge;
  };
  let [low, high] = [0, node.data.trim() ? node.length : 0];
  const all = high;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (isAbove(middle)) low = middle;
    else high = middle - 1;
  }
  return all - low;
}
