// A node-hl7-server on a free port, which it prints first; then, a line of JSON each, the messages that it read.
const net = require("node:net");
const { Server } = require("node-hl7-server");

const free = net.createServer();
free.listen(0, "127.0.0.1", () => {
  const { port } = free.address();
  free.close(() => listen(port));
});

function listen(port) {
  const inbound = new Server({ bindAddress: "127.0.0.1" }).createInbound({ port }, async (request, response) => {
    const message = request.getMessage();
    console.log(JSON.stringify({ id: message.get("MSH.10").toString(), name: message.get("PID.5.1").toString() }));
    await response.sendResponse("AA");
  });
  inbound.on("listen", () => console.log(port));
  inbound.on("data.error", (error) => console.error(String(error)));
}
