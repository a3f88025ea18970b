// Marks the words of each reply that stand in no other one next to the same neighbour. Every reply is read once, so the
// cost grows with the length of the texts alone. The text itself is not touched (CSS custom highlights).

const WORD = /[\p{L}\p{N}\p{M}]+/gu;
const NAME = "differs";

export const canMark = () => "highlights" in CSS && typeof Highlight === "function";

/** Words of an element, in order, each with the text node and the place where it stands. */
function wordsOf(element) {
  const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const words = [];
  while (nodes.nextNode()) {
    for (const found of nodes.currentNode.data.matchAll(WORD)) {
      words.push({ word: found[0].toLowerCase(), node: nodes.currentNode, start: found.index, end: found.index + found[0].length });
    }
  }
  return words;
}

const pairOf = (words, place) => `${words[place]?.word ?? ""} ${words[place + 1]?.word ?? ""}`;

/** The words that no other reply has with the word before or the word after: at their places in `replies`. */
export function differing(replies) {
  const count = new Map();
  for (const words of replies) {
    const own = new Set();
    for (let place = -1; place < words.length; place += 1) own.add(pairOf(words, place));
    for (const pair of own) count.set(pair, (count.get(pair) ?? 0) + 1);
  }
  const isAlone = (words, place) => count.get(pairOf(words, place)) === 1;
  return replies.map((words) => words.filter((_word, place) => isAlone(words, place - 1) && isAlone(words, place)));
}

export function mark(texts) {
  const ranges = differing(texts.map(wordsOf)).flat().map(({ node, start, end }) => {
    const range = new Range();
    range.setStart(node, start);
    range.setEnd(node, end);
    return range;
  });
  CSS.highlights.set(NAME, new Highlight(...ranges));
}

export const unmark = () => CSS.highlights.delete(NAME);
