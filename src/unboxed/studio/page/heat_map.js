// Heat maps of attention: the weights of the regions, summed over the image, smoothed and coloured.

const LONG_SIDE = 112; // cells of the map along the longer side of the image
const BLUR_RADIUS = 2;

/** Sums the weights of the boxes in each cell, smooths them and scales them to 0..1: `map` has rows of `columns` numbers. */
export function heatMap(boxes, weights, width, height) {
  const columns = Math.max(1, Math.round((LONG_SIDE * width) / Math.max(width, height)));
  const rows = Math.max(1, Math.round((LONG_SIDE * height) / Math.max(width, height)));
  let map = new Float32Array(columns * rows);
  boxes.forEach(([x1, y1, x2, y2], r) => {
    const left = Math.max(0, Math.ceil((x1 * columns) / width - 0.5));
    const right = Math.min(columns, Math.floor((x2 * columns) / width + 0.5));
    const top = Math.max(0, Math.ceil((y1 * rows) / height - 0.5));
    const bottom = Math.min(rows, Math.floor((y2 * rows) / height + 0.5));
    for (let y = top; y < bottom; y += 1) for (let x = left; x < right; x += 1) map[y * columns + x] += weights[r];
  });
  for (let pass = 0; pass < 2; pass += 1) map = blur(blur(map, columns, rows, 1, columns), rows, columns, columns, 1);
  let low = Infinity;
  let high = -Infinity;
  for (const value of map) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const span = high - low;
  return { columns, rows, map: map.map((value) => (span > 1e-9 ? (value - low) / span : 0)) };
}

// A moving average along one axis: neighbours within a line are `step` apart, lines are `stride` apart.
function blur(map, length, lines, step, stride) {
  const result = new Float32Array(map.length);
  for (let line = 0; line < lines; line += 1) {
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      let count = 0;
      for (let j = Math.max(0, i - BLUR_RADIUS); j <= Math.min(length - 1, i + BLUR_RADIUS); j += 1) {
        sum += map[line * stride + j * step];
        count += 1;
      }
      result[line * stride + i * step] = sum / count;
    }
  }
  return result;
}

/** Draws a heat map on a canvas with a list of colours from low to high. */
export function drawHeatMap(canvas, { columns, rows, map }, colours) {
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows);
  map.forEach((level, i) => {
    const position = level * (colours.length - 1);
    const below = colours[Math.floor(position)];
    const above = colours[Math.ceil(position)];
    const fraction = position - Math.floor(position);
    for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = below[c] * (1 - fraction) + above[c] * fraction;
    image.data[4 * i + 3] = 255 * (0.42 + 0.33 * level);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}
