// The layers over the photo. Each is a function from a point of the picture to a color, as one number, 0 for none; pictures of
// small photos are enlarged, so that hatches stay fine.

const SMALLEST_SIDE = 700;
const enlargement = (model) => Math.max(1, Math.min(12, Math.ceil(SMALLEST_SIDE / Math.max(model.width, model.height))));
const rgba = (red, green, blue, opacity = 255) => ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;
const WHITE = rgba(255, 255, 255), BLACK = rgba(0, 0, 0), WRONG = rgba(200, 0, 30), FAINT = rgba(255, 255, 255, 110);
const UNCHANGED = rgba(245, 245, 245, 190), VOID_DARK = rgba(40, 40, 40, 150), HATCH = rgba(255, 255, 255, 210);
const RAISED = [230, 97, 1], LOWERED = [94, 60, 153];
const VIRIDIS_TABLE = tableOf(VIRIDIS).map((color) => rgba(...color));

const rising = (x, y) => (x + y) % 8 < 2;
const falling = (x, y) => (x - y + 80000) % 8 < 2;

const LAYERS = {
  photo: () => () => 0,

  belief(model, styles, { label, iteration }) {
    const level = (i) => Math.round(255 * model.belief(label, iteration, i));
    const sure = (i) => level(i) >= 128;
    return (i, x, y, edge) => (edge(sure) ? WHITE : VIRIDIS_TABLE[level(i)]);
  },

  labels: (model, styles, { iteration }) => painted(model, styles, model.labels[iteration]),

  truth: (model, styles) => painted(model, styles, model.truth),

  difference(model, styles, { label, iteration, reference }) {
    const tint = (color, strength) => rgba(...color.map((c) => Math.round(245 + (c - 245) * strength)), 230);
    return (i, x, y) => {
      const change = model.belief(label, iteration, i) - model.belief(label, reference, i);
      if (Math.abs(change) < 0.01) return UNCHANGED;
      const hatched = change > 0 ? rising(x, y) : falling(x, y);
      return tint((change > 0 ? RAISED : LOWERED).map((c) => (hatched ? 0.6 * c : c)), Math.sqrt(Math.abs(change)));
    };
  },

  mistakes(model, styles, { iteration }) {
    const labels = model.labels[iteration];
    const wrong = (i) => model.truth[i] !== model.void && model.truth[i] !== labels[i];
    return (i, x, y, edge) => {
      if (edge(wrong)) return BLACK;
      if (!wrong(i)) return model.truth[i] === model.void ? FAINT : 0;
      return rising(x, y) || falling(x, y) ? WHITE : WRONG;
    };
  },
};

// A map of labels: hatched colors and white edges; the background is left as it is.
function painted(model, styles, labels) {
  const places = model.classes.map((_, label) => styles[model.place(label)]);
  const colors = places.map(({ color }) => rgba(...color, 200));
  const of = (j) => labels[j];
  return (i, x, y, edge) => {
    const label = labels[i];
    if (label === model.void) return (x + y) % 10 < 2 ? WHITE : VOID_DARK;
    if (edge(of)) return WHITE;
    if (places[label].plain) return 0;
    return places[label].hatch(x, y) ? HATCH : colors[label];
  };
}

// Draws a layer on a canvas, `scale` points to a pixel.
function drawLayer(canvas, model, styles, state, scale) {
  const { width } = model;
  const color = LAYERS[state.layer](model, styles, state);
  canvas.width = width * scale;
  canvas.height = model.height * scale;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  const points = new Uint32Array(picture.data.buffer);
  let here, right, below;
  const edge = (of) => of(here) !== of(right) || of(here) !== of(below);
  for (let y = 0, at = 0; y < canvas.height; y++) {
    const row = Math.floor(y / scale) * width;
    for (let x = 0; x < canvas.width; x++, at++) {
      const column = Math.floor(x / scale);
      here = row + column;
      // The last points of a pixel lie on an edge where the pixel to the right or below differs.
      right = x % scale === scale - 1 && column + 1 < width ? here + 1 : here;
      below = y % scale === scale - 1 && row + width < model.pixels ? here + width : here;
      points[at] = color(here, x, y, edge);
    }
  }
  context.putImageData(picture, 0, 0);
}

function drawPhoto(canvas, photo) {
  canvas.width = photo.width;
  canvas.height = photo.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(photo.width, photo.height);
  const points = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < points.length; i++) points[i] = rgba(photo.red[i], photo.green[i], photo.blue[i]);
  context.putImageData(picture, 0, 0);
}

// A cross with a hole at pixel i, black on white, in points of the canvas; a frame says that it is frozen.
function drawCross(canvas, model, i, frozen) {
  const scale = canvas.width / model.width;
  const x = ((i % model.width) + 0.5) * scale, y = (Math.floor(i / model.width) + 0.5) * scale;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  const long = 0.035 * canvas.width, hole = 0.008 * canvas.width;
  for (const [color, thickness] of [["#fff", 5], ["#000", 2.5]]) {
    context.strokeStyle = color;
    context.lineWidth = (thickness * canvas.width) / 800;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + dx * hole, y + dy * hole);
      context.lineTo(x + dx * long, y + dy * long);
    }
    context.stroke();
    if (frozen) context.strokeRect(x - long / 2, y - long / 2, long, long);
  }
}
