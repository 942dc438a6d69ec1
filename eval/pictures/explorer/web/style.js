// How a label looks: a color that color-blind readers can tell apart, and beside it hatches, dashes and a mark.

const COLORS = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233]];
const OTHERS = [150, 150, 150];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 2"];
const MARKS = ["●", "▲", "■", "◆", "▼", "✚"];

// Whether a hatch of label number n covers a point of the picture; the first label is left plain.
const HATCHES = [
  () => false,
  (x, y) => (x + y) % 9 < 2,
  (x, y) => (x - y + 9000) % 9 < 2,
  (x, y) => x % 7 < 2,
  (x, y) => y % 7 < 2,
  (x, y) => x % 7 < 2 && y % 7 < 2,
];

// Styles of all shown labels and of the others; the background, where there is one, is gray and unhatched.
function stylesOf(model) {
  let next = 0;
  const styles = model.names.map((name, n) => {
    const plain = name === "background";
    const color = plain ? [70, 70, 70] : COLORS[next++ % COLORS.length];
    return { name, plain, color, hatch: HATCHES[plain ? 0 : 1 + ((next - 1) % 5)], dash: DASHES[n % 6], mark: MARKS[n % 6] };
  });
  styles.push({ name: "others", plain: false, color: OTHERS, hatch: HATCHES[5], dash: "1 4", mark: "○" });
  return styles;
}

const css = ([r, g, b]) => `rgb(${r}, ${g}, ${b})`;

// Maps of numbers in 0..1 to colors whose lightness grows all the way, so that they read in gray, too.
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const HEAT = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];

function colorAt(stops, value) {
  const place = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const n = Math.min(Math.floor(place), stops.length - 2);
  return stops[n].map((from, c) => Math.round(from + (place - n) * (stops[n + 1][c] - from)));
}

const tableOf = (stops) => Array.from({ length: 256 }, (_, n) => colorAt(stops, n / 255));
const gradient = (stops) => `linear-gradient(to right, ${stops.map(css).join(", ")})`;

// A small picture of a label's hatch, for legends.
function swatch(style) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 18;
  const context = canvas.getContext("2d");
  context.fillStyle = css(style.color);
  context.fillRect(0, 0, 18, 18);
  context.fillStyle = "#fff";
  for (let y = 0; y < 18; y++) for (let x = 0; x < 18; x++) if (style.hatch(x, y)) context.fillRect(x, y, 1, 1);
  canvas.className = "swatch";
  return canvas;
}
