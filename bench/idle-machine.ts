import { cpus } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'

/** Below this share of busy processors the machine counts as idle. */
const idleShare = 0.15

/** Waits until nothing else works on this machine: processor time is worth more, or less, beside others. Gives up after `patienceMs`. */
export async function idleMachine(patienceMs: number): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (performance.now() < deadline && (await busyShare()) > idleShare) await wait(Math.random() * 500)
}

async function busyShare(): Promise<number> {
  const before = spent()
  await wait(400)
  const after = spent()
  const idle = after.idle - before.idle
  return 1 - idle / (idle + after.busy - before.busy)
}

function spent(): { idle: number; busy: number } {
  const total = { idle: 0, busy: 0 }
  for (const { times } of cpus()) {
    total.idle += times.idle
    total.busy += times.user + times.nice + times.sys + times.irq
  }
  return total
}
