// Where a word looks: the weights of the regions, added up over the image and coloured.

const CELLS = 112;
const SOFTEN = 2;

/** How much weight lies over each cell, 0 to 1, softened: rows of `columns` numbers. */
export function heatMap(boxes, weights, width, height) {
  const columns = Math.max(1, Math.round((CELLS * width) / Math.max(width, height)));
  const rows = Math.max(1, Math.round((CELLS * height) / Math.max(width, height)));
  let map = new Float32Array(columns * rows);
  boxes.forEach(([x1, y1, x2, y2], r) => {
    const left = Math.max(0, Math.ceil((x1 * columns) / width - 0.5));
    const right = Math.min(columns, Math.floor((x2 * columns) / width + 0.5));
    const top = Math.max(0, Math.ceil((y1 * rows) / height - 0.5));
    const bottom = Math.min(rows, Math.floor((y2 * rows) / height + 0.5));
    for (let y = top; y < bottom; y += 1) for (let x = left; x < right; x += 1) map[y * columns + x] += weights[r];
  });
  for (let pass = 0; pass < 2; pass += 1) map = softened(softened(map, columns, rows, 1, columns), rows, columns, columns, 1);
  let low = Infinity;
  let high = -Infinity;
  for (const value of map) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const span = high - low;
  return { columns, rows, map: map.map((value) => (span > 1e-9 ? (value - low) / span : 0)) };
}

// A running mean along one direction: `step` apart within a line, `stride` apart between lines.
function softened(map, length, lines, step, stride) {
  const result = new Float32Array(map.length);
  for (let line = 0; line < lines; line += 1) {
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      let taken = 0;
      for (let j = Math.max(0, i - SOFTEN); j <= Math.min(length - 1, i + SOFTEN); j += 1) {
        sum += map[line * stride + j * step];
        taken += 1;
      }
      result[line * stride + i * step] = sum / taken;
    }
  }
  return result;
}

/** Draws a heat map on a canvas in the given colours, from none to most. */
export function drawHeat(canvas, { columns, rows, map }, colours) {
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows);
  map.forEach((level, i) => {
    const at = level * (colours.length - 1);
    const below = colours[Math.floor(at)];
    const above = colours[Math.ceil(at)];
    const share = at - Math.floor(at);
    for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = below[c] * (1 - share) + above[c] * share;
    image.data[4 * i + 3] = 255 * (0.42 + 0.33 * level);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}
