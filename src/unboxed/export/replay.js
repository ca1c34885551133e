// Corrections of labels, replayed on the review page as `unboxed.export.corrections` replays them.

const LONGEST = 500; // characters of a name or phrase

/** An image of `NAME.labels.jsonl` without corrections. */
export function startImage({ width, height, boxes }) {
  const known = boxes.map(({ name, box, score, confidence, mentions }, number) => ({ number, name, phrase: mentions[0].phrase, box, score, confidence, verdict: "" }));
  return { width, height, boxes: known, checked: false, added: boxes.length };
}

/** The image after one more correction. Throws an error when the correction is not possible. */
export function correctImage(image, { action, box: number, edges, text }) {
  const box = image.boxes.find((known) => known.number === number);
  const changed = (values) => ({ ...image, boxes: image.boxes.map((known) => (known === box ? { ...box, verdict: "accepted", ...values } : known)) });
  if (action === "check" || action === "uncheck") return { ...image, checked: action === "check" };
  if (action === "add") {
    const made = { number: image.added, name: cleaned(text), phrase: cleaned(text), box: inside(edges, image), score: null, confidence: null, verdict: "accepted" };
    return { ...image, boxes: [...image.boxes, made], added: image.added + 1 };
  }
  if (!box) throw new Error("The box may have been deleted.");
  if (action === "accept") return changed({});
  if (action === "reject") return changed({ verdict: "rejected" });
  if (action === "move") return changed({ box: inside(edges, image) });
  if (action === "phrase") return changed({ phrase: cleaned(text) });
  if (action === "delete") return { ...image, boxes: image.boxes.filter((known) => known !== box) };
  const name = cleaned(text);
  return changed(box.score === null && box.phrase === box.name ? { name, phrase: name } : { name });
}

/** A name or phrase without needless spaces. Throws an error for one that is empty or too long. */
export function cleaned(text) {
  const words = text.trim().replace(/\s+/g, " ");
  if (!words || [...words].length > LONGEST || /\p{C}/u.test(words)) throw new Error(`A box needs a text of 1 to ${LONGEST} characters.`);
  return words;
}

function inside(edges, { width, height }) {
  const [x1, y1, x2, y2] = edges.map((edge, i) => Math.round(100 * Math.min(Math.max(edge, 0), i % 2 ? height : width)) / 100);
  if (x2 - x1 < 1 || y2 - y1 < 1) throw new Error("A box needs at least one pixel in width and height inside the image.");
  return [x1, y1, x2, y2];
}
