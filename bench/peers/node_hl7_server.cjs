// node-hl7-server on the port of its first argument, answering every message AA; it parses and stores nothing.
const { Server } = require("node-hl7-server");

const port = Number(process.argv[2]);
const inbound = new Server({ bindAddress: "127.0.0.1" }).createInbound({ port }, async (request, response) => {
  await response.sendResponse("AA");
});
inbound.on("data.error", (error) => console.error(String(error)));
