// Strips of maps, as strips.py packs them: deflated differences between integers and what predicts them.

async function inflated(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Frames of integers: an array of Uint8Array or Uint16Array, one number per pixel.
async function unpacked(strip) {
  const bytes = await inflated(strip.data);
  const { bits, width, height } = strip;
  const size = width * height;
  const all = bits === 8 ? bytes : joined(bytes);
  const center = 1 << (bits - 1);
  const frames = [];
  for (let f = 0; f < strip.frames; f++) {
    const frame = all.subarray(f * size, (f + 1) * size);
    if (strip.spatial) unpredict(frame, width, height);
    if (f > 0) for (let i = 0; i < size; i++) frame[i] += frames[f - 1][i] - center;
    frames.push(frame);
  }
  return frames;
}

function joined(bytes) {
  const count = bytes.length / 2;
  return Uint16Array.from({ length: count }, (_, i) => bytes[i] + 256 * bytes[count + i]);
}

// Adds to every number its prediction from the left, above and the corner between. Typed arrays wrap as wanted.
function unpredict(frame, width, height) {
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const left = x > 0 ? frame[i - 1] : 0;
      const above = y > 0 ? frame[i - width] : 0;
      const corner = x > 0 && y > 0 ? frame[i - width - 1] : 0;
      if (corner >= Math.max(left, above)) frame[i] += Math.min(left, above);
      else if (corner <= Math.min(left, above)) frame[i] += Math.max(left, above);
      else frame[i] += left + above - corner;
    }
  }
}

// The same with the numbers that the integers stand for: value(f, i).
async function unpackedNumbers(strip) {
  return withNumbers(strip, await unpacked(strip));
}

const withNumbers = (strip, frames) => ({ frames, value: (f, i) => strip.low + strip.step * frames[f][i] });

// Strips of which some hold only what a mixture of those before them leaves.
async function unpackedFamily(strips) {
  const families = await Promise.all(strips.map(unpacked));
  strips.forEach(({ mix }, n) => {
    if (!mix) return;
    families[n].forEach((frame, f) => {
      for (let i = 0; i < frame.length; i++) {
        let predicted = mix[0] + 2048;
        for (let m = 0; m < n; m++) predicted += mix[m + 1] * families[m][f][i];
        frame[i] += (predicted >> 12) - 128;
      }
    });
  });
  return strips.map((strip, n) => withNumbers(strip, families[n]));
}
