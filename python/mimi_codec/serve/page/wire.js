// The messages of the protocol (docs/serve.md): samples, frames of packed codes, and text.

export const PCM = 1;
export const CODES = 2;

/** Samples (Float32Array) as a binary message of f32le. */
export function packSamples(samples) {
  const message = new DataView(new ArrayBuffer(1 + 4 * samples.length));
  message.setUint8(0, PCM);
  samples.forEach((sample, i) => message.setFloat32(1 + 4 * i, sample, true));
  return message.buffer;
}

/** The samples of a binary message of f32le. */
export function unpackSamples(buffer) {
  const message = new DataView(buffer, 1);
  return Float32Array.from({ length: message.byteLength / 4 }, (_, i) => message.getFloat32(4 * i, true));
}

/** Frames, each an array of codes, as a binary message. */
export function packCodes(frames, bits) {
  const books = frames[0].length;
  const size = Math.ceil((books * bits) / 8);
  const message = new Uint8Array(2 + frames.length * size);
  message.set([CODES, books]);
  frames.forEach((codes, i) => {
    codes.forEach((code, k) => {
      for (let bit = 0; bit < bits; bit++) {
        const place = k * bits + bit;
        message[2 + i * size + (place >> 3)] |= ((code >> bit) & 1) << (place & 7);
      }
    });
  });
  return message.buffer;
}

/** The frames of a binary message, each an array of codes. */
export function unpackCodes(buffer, bits) {
  const message = new Uint8Array(buffer);
  const books = message[1];
  const size = Math.ceil((books * bits) / 8);
  const frames = [];
  for (let start = 2; start < message.length; start += size) {
    const codes = new Array(books).fill(0);
    for (let place = 0; place < books * bits; place++) {
      const set = (message[start + (place >> 3)] >> (place & 7)) & 1;
      codes[Math.floor(place / bits)] |= set << place % bits;
    }
    frames.push(codes);
  }
  return frames;
}

/**
 * A duplex session. `on` has functions for what comes: hello, ready, samples, codes, error, closed.
 * The promise is kept when the session has begun.
 */
export function connect(on) {
  const address = new URL("/v1", window.location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = window.location.search; // the token
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  let bits = 0;
  let ready = false;
  return new Promise((begun, failed) => {
    const session = {
      sendSamples: (samples) => session.isOpen() && socket.send(packSamples(samples)),
      sendCodes: (frames) => session.isOpen() && socket.send(packCodes(frames, bits)),
      isOpen: () => socket.readyState === WebSocket.OPEN,
      close: () => socket.close(),
    };
    const text = {
      hello: (message) => {
        bits = message.bits_per_code;
        on.hello(message);
        socket.send(JSON.stringify({ type: "start", mode: "duplex", pcm: "f32le", codebooks: message.codebooks }));
      },
      ready: () => {
        ready = true;
        begun(session);
      },
      error: (message) => {
        on.error(message.message);
        failed(new Error(message.message));
      },
      closing: () => on.error("The server is closing."),
      end: () => {},
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        const message = JSON.parse(data);
        text[message.type]?.(message);
      } else if (new Uint8Array(data)[0] === CODES) {
        on.codes(unpackCodes(data, bits));
      } else {
        on.samples(unpackSamples(data));
      }
    };
    socket.onclose = (event) => {
      if (ready) on.closed();
      failed(new Error(event.code === 1006 ? "The server refused the connection, or is not there." : event.reason));
    };
  });
}
