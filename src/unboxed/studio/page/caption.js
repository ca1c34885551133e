// A caption as it is spoken: phrases are chips in the colours of their boxes, every word can be pointed at.

import { make, paint } from "./elements.js";

/**
 * Fills `line` with a caption.
 *
 * `words` are character spans, `[]` where words cannot be pointed at. `describe(p)` says what a chip is for those who
 * hear it, `mark(p)` gives a sign to put behind it. `point({ phrase, word })` is called when something is pointed at,
 * by pointer or keyboard, `point(null)` when nothing is; `pin({ phrase })` when a chip is pressed.
 */
export function speak(line, { caption, phrases, words = [], colours, describe, mark = () => null, point, pin }) {
  const stops = []; // what arrow keys go through: [element to focus, target, element to mark]
  const pieces = [];
  let at = 0;
  const inOrder = phrases.map((phrase, p) => [phrase, p]).sort(([a], [b]) => a.start - b.start || b.end - a.end);
  for (const [phrase, p] of inOrder) {
    if (phrase.start < at) continue; // within another one
    pieces.push(...plain(caption, at, phrase.start, words, stops));
    const chip = paint(make("button", { type: "button", className: "chip", "aria-pressed": "false" }), colours[p % colours.length]);
    chip.setAttribute("aria-label", describe(p));
    chip.dataset.phrase = p;
    const inside = spans(words, phrase.start, phrase.end);
    chip.append(make("b", { textContent: p + 1, "aria-hidden": "true" }));
    if (!inside.length) stops.push([chip, { phrase: p }, null]);
    let from = phrase.start;
    for (const w of inside) {
      const word = make("span", { className: "word", textContent: caption.slice(words[w][0], words[w][1]) });
      word.addEventListener("pointerenter", () => point({ phrase: p, word: w }));
      chip.append(caption.slice(from, words[w][0]), word);
      from = words[w][1];
      stops.push([chip, { phrase: p, word: w }, word]);
    }
    chip.append(caption.slice(from, phrase.end));
    const sign = mark(p);
    if (sign) chip.append(sign);
    chip.addEventListener("pointerenter", () => point({ phrase: p }));
    chip.addEventListener("focus", () => chip.matches(":focus-visible") && point({ phrase: p }));
    chip.addEventListener("click", () => pin({ phrase: p }));
    pieces.push(chip);
    at = phrase.end;
  }
  pieces.push(...plain(caption, at, caption.length, words, stops));
  line.replaceChildren(...pieces);

  let place = -1;
  const follow = (index) => {
    line.querySelector(".current")?.classList.remove("current");
    place = Math.min(stops.length - 1, Math.max(0, index));
    const [element, target, word] = stops[place];
    element.focus();
    word?.classList.add("current");
    point(target);
  };
  line.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") pin(null);
    if (!step || !stops.length) return;
    event.preventDefault();
    if (line.querySelector(".current")) return follow(place + step);
    const here = stops.findIndex(([element]) => element === document.activeElement);
    const passed = step > 0 && here >= 0 && stops[here][2]; // a chip that was tabbed to begins with its first word
    follow(passed ? here : here + step);
  };
  line.onpointerleave = () => point(null);
  line.onfocusout = (event) => {
    line.querySelector(".current")?.classList.remove("current");
    if (!line.contains(event.relatedTarget)) point(null);
  };
  for (const [element, target] of stops) if (element.classList.contains("word")) element.addEventListener("pointerenter", () => point(target));
}

// Words outside of phrases: arrow keys reach them, the tab key goes from phrase to phrase.
function plain(caption, start, end, words, stops) {
  const pieces = [];
  let from = start;
  for (const w of spans(words, start, end)) {
    const word = make("span", { className: "word", tabIndex: -1, textContent: caption.slice(words[w][0], words[w][1]) });
    pieces.push(caption.slice(from, words[w][0]), word);
    stops.push([word, { word: w }, word]);
    from = words[w][1];
  }
  pieces.push(caption.slice(from, end));
  return pieces;
}

const spans = (words, start, end) => words.flatMap(([a, b], w) => (a >= start && b <= end ? [w] : []));
