/** Stands in for an order gateway: it holds a little state, says that it lives, and ends when asked. */
let forwarded = 0;
process.stdout.write(`order-service up, pid ${process.pid}\n`);
setInterval(() => {
  forwarded++;
  if (forwarded % 60 === 0) process.stdout.write(`${forwarded} orders forwarded\n`);
}, 1_000);
process.on('SIGTERM', () => process.exit(0));
