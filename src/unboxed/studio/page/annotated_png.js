// A PNG of an image with its boxes, above the caption with each phrase in the colour of its boxes.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const PAPER = "#ffffff";
const TEXT = "#1b1f24";

/** Draws the boxes that an `AnnotatedImage` shows. `colours(p)` are the colour of a phrase and that of text on it. */
export async function annotatedPng({ image, boxes, size }, { caption, phrases }, colours) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const unit = Math.max(1, Math.sqrt(width * height) / 640); // strokes and text grow with the picture
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const font = `${Math.round(16 * unit)}px ${FONT}`;
  context.font = font;
  const pad = 12 * unit;
  const lines = wrapped(context, coloured(caption, phrases, boxes), width - 2 * pad);
  const lineHeight = 28 * unit;
  [canvas.width, canvas.height] = [width, Math.round(height + 2 * pad + lines.length * lineHeight)];
  context.fillStyle = PAPER;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, width, height);
  drawBoxes(context, boxes, [width / size[0], height / size[1]], unit, font);
  context.font = font;
  context.textBaseline = "middle";
  lines.forEach((words, row) => drawLine(context, words, pad, height + pad + (row + 0.5) * lineHeight, lineHeight, unit, colours));
  const content = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!content) throw new Error("The picture is too large for this browser; use a smaller copy of the image.");
  return content;
}

function drawBoxes(context, boxes, [scaleX, scaleY], unit, font) {
  context.font = font;
  context.textBaseline = "top";
  for (const { box: [x1, y1, x2, y2], colours } of boxes.filter((item) => !item.gold)) {
    const place = [x1 * scaleX, y1 * scaleY, (x2 - x1) * scaleX, (y2 - y1) * scaleY];
    for (const [style, line] of [["#ffffffd9", 5.5], [colours[0], 3]]) {
      context.strokeStyle = style;
      context.lineWidth = line * unit;
      context.strokeRect(...place);
    }
  }
  for (const { box: [x1, y1], colours, label } of boxes.filter((item) => !item.gold && !item.rank)) {
    const text = label.length > 32 ? `${label.slice(0, 31)}…` : label;
    const [width, height] = [context.measureText(text).width + 12 * unit, 24 * unit];
    const left = Math.max(0, Math.min(x1 * scaleX, context.canvas.width - width));
    const top = Math.max(0, y1 * scaleY - height);
    context.fillStyle = colours[0];
    context.fillRect(left, top, width, height);
    context.fillStyle = colours[1];
    context.fillText(text, left + 6 * unit, top + 4 * unit);
  }
}

// The words of a caption, each with the index of the phrase that it is in and that has a box: [text, phrase | null].
function coloured(caption, phrases, boxes) {
  const shown = new Set(boxes.map(({ phrase }) => phrase));
  return [...caption.matchAll(/\S+/g)].map((match) => {
    const p = phrases.findIndex(({ start, end }, i) => shown.has(i) && match.index < end && match.index + match[0].length > start);
    return [match[0], p < 0 ? null : p];
  });
}

function wrapped(context, words, width) {
  const lines = [[]];
  let used = 0;
  const blank = context.measureText(" ").width;
  for (const [text, phrase] of words) {
    const needed = context.measureText(text).width;
    if (used + needed > width && lines.at(-1).length) {
      lines.push([]);
      used = 0;
    }
    lines.at(-1).push({ text, phrase, left: used, width: needed });
    used += needed + blank;
  }
  return lines;
}

function drawLine(context, words, left, middle, lineHeight, unit, colours) {
  const edge = 3 * unit;
  words.forEach(({ phrase, left: at, width }, i) => {
    const next = words[i + 1];
    if (phrase !== null) {
      const joined = next?.phrase === phrase; // the colour reaches to the next word of the phrase
      context.fillStyle = colours(phrase)[0];
      context.fillRect(left + at - edge, middle - 0.42 * lineHeight, (joined ? next.left - at : width) + 2 * edge, 0.84 * lineHeight);
    }
  });
  for (const { text, phrase, left: at } of words) {
    context.fillStyle = phrase === null ? TEXT : colours(phrase)[1];
    context.fillText(text, left + at, middle);
  }
}
