// Heat maps of K(i, .). Where a kernel reaches only a few pixels, its map is a close-up of them.

const HEAT_TABLE = tableOf(HEAT);

// The part of the photo that a kernel's map shows: the whole, or four bandwidths around the pixel.
function windowOf(model, kernel, i) {
  const reach = kernel.position === null ? Infinity : Math.ceil(4 * kernel.position);
  if (2 * reach + 1 >= Math.min(model.width, model.height) / 2) return { left: 0, top: 0, width: model.width, height: model.height };
  const side = 2 * reach + 1;
  const wide = Math.min(model.width, Math.round((side * model.width) / model.height));
  const inside = (center, length, all) => Math.min(Math.max(center - Math.floor(length / 2), 0), all - length);
  return {
    left: inside(i % model.width, wide, model.width), top: inside(Math.floor(i / model.width), side, model.height),
    width: wide, height: side,
  };
}

function drawHeat(canvas, model, kernel, i, row) {
  const part = windowOf(model, kernel, i);
  canvas.width = part.width;
  canvas.height = part.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(part.width, part.height);
  for (let y = 0, at = 0; y < part.height; y++) {
    for (let x = 0; x < part.width; x++, at += 4) {
      const heat = Math.sqrt(row[(part.top + y) * model.width + part.left + x]);
      picture.data.set([...HEAT_TABLE[Math.round(255 * heat)], 255], at);
    }
  }
  context.putImageData(picture, 0, 0);
  return part;
}
