// How long a message may be: in characters as people count them, told in the numbers of their language.

const number = new Intl.NumberFormat(document.documentElement.lang);

/** What is wrong with the length of a text, or nothing. */
export function tooLong(text, words) {
  const length = [...text].length;
  const most = Number(words.maxChars);
  return length > most ? words.tooLong.replace("{n}", number.format(length)).replace("{max}", number.format(most)) : "";
}
