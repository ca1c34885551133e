// A caption whose phrases are chips in the colours of their boxes, and whose words can be highlighted.

import { create, setColours } from "./elements.js";

/**
 * Fills `line` with a caption.
 *
 * `words` are character spans; `[]` makes no word highlightable. `describe(p)` returns the label of a chip for screen
 * readers, and `badge(p)` an element to show behind its text. `onHighlight({ phrase, word })` is called when a phrase
 * or word is highlighted by pointer or keyboard, `onHighlight(null)` when none is any more; `onSelect({ phrase })` when
 * a chip is pressed, and `onSelect(null)` after Escape.
 */
export function renderCaption(line, { caption, phrases, words = [], colours, describe, badge = () => null, onHighlight, onSelect }) {
  const stops = []; // the places that the arrow keys visit: [element to focus, target to highlight, word element]
  const pieces = [];
  let end = 0;
  const sorted = phrases.map((phrase, p) => [phrase, p]).sort(([a], [b]) => a.start - b.start || b.end - a.end);
  for (const [phrase, p] of sorted) {
    if (phrase.start < end) continue; // inside another phrase
    pieces.push(...plainText(caption, end, phrase.start, words, stops));
    const chip = setColours(create("button", { type: "button", className: "chip", "aria-pressed": "false" }), colours[p % colours.length]);
    chip.setAttribute("aria-label", describe(p));
    chip.dataset.phrase = p;
    const inside = wordsWithin(words, phrase.start, phrase.end);
    chip.append(create("b", { textContent: p + 1, "aria-hidden": "true" }));
    if (!inside.length) stops.push([chip, { phrase: p }, null]);
    let from = phrase.start;
    for (const w of inside) {
      const word = create("span", { className: "word", textContent: caption.slice(words[w][0], words[w][1]) });
      word.addEventListener("pointerenter", () => onHighlight({ phrase: p, word: w }));
      chip.append(caption.slice(from, words[w][0]), word);
      from = words[w][1];
      stops.push([chip, { phrase: p, word: w }, word]);
    }
    chip.append(caption.slice(from, phrase.end));
    const mark = badge(p);
    if (mark) chip.append(mark);
    chip.addEventListener("pointerenter", () => onHighlight({ phrase: p }));
    chip.addEventListener("focus", () => chip.matches(":focus-visible") && onHighlight({ phrase: p }));
    chip.addEventListener("click", () => onSelect({ phrase: p }));
    pieces.push(chip);
    end = phrase.end;
  }
  pieces.push(...plainText(caption, end, caption.length, words, stops));
  line.replaceChildren(...pieces);
  line.onpointerleave = () => onHighlight(null);
  for (const [element, target] of stops) if (element.classList.contains("word")) element.addEventListener("pointerenter", () => onHighlight(target));
  addKeys(line, stops, onHighlight, onSelect);
}

// Arrow keys go from word to word; Escape clears the selection.
function addKeys(line, stops, onHighlight, onSelect) {
  let current = -1;
  const goTo = (index) => {
    line.querySelector(".current")?.classList.remove("current");
    current = Math.min(stops.length - 1, Math.max(0, index));
    const [element, target, word] = stops[current];
    element.focus();
    word?.classList.add("current");
    onHighlight(target);
  };
  line.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") onSelect(null);
    if (!step || !stops.length) return;
    event.preventDefault();
    if (line.querySelector(".current")) return goTo(current + step);
    const focused = stops.findIndex(([element]) => element === document.activeElement);
    const startsHere = step > 0 && focused >= 0 && stops[focused][2]; // a chip reached with Tab starts with its first word
    goTo(startsHere ? focused : focused + step);
  };
  line.onfocusout = (event) => {
    line.querySelector(".current")?.classList.remove("current");
    if (!line.contains(event.relatedTarget)) onHighlight(null);
  };
}

// Words outside of phrases: the arrow keys reach them, the Tab key does not.
function plainText(caption, start, end, words, stops) {
  const pieces = [];
  let from = start;
  for (const w of wordsWithin(words, start, end)) {
    const word = create("span", { className: "word", tabIndex: -1, textContent: caption.slice(words[w][0], words[w][1]) });
    pieces.push(caption.slice(from, words[w][0]), word);
    stops.push([word, { word: w }, word]);
    from = words[w][1];
  }
  pieces.push(caption.slice(from, end));
  return pieces;
}

const wordsWithin = (words, start, end) => words.flatMap(([a, b], w) => (a >= start && b <= end ? [w] : []));
