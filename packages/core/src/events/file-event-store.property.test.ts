import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { collect } from '../testing/conformance.ts'
import { sampleEvent, sampleSummary, sampleUnknownEvent } from '../testing/sample-events.ts'
import type { LoggedEvent } from './event.ts'
import { createFileEventStore } from './file-event-store.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-property-'))
afterAll(() => rmSync(root, { recursive: true }))

/** Appends of up to four events, known ones with a text or unknown ones. With `waits`, any store makes it after the one before is durable; else the first store makes it at once. */
const step = fc.record({
  store: fc.nat(2),
  waits: fc.boolean(),
  texts: fc.array(fc.option(fc.string({ unit: 'binary', maxLength: 30 })), { minLength: 1, maxLength: 4 }),
})

/** Some appends, then a crash that leaves this share of the file. */
const round = fc.record({ steps: fc.array(step, { minLength: 1, maxLength: 6 }), share: fc.double({ min: 0, max: 1, noNaN: true }) })

function eventsOf(texts: readonly (string | null)[], after: number): LoggedEvent[] {
  return texts.map((text, index) => {
    const seq = after + index + 1
    return text === null ? sampleUnknownEvent('task', seq) : sampleEvent('task', seq, text)
  })
}

/** Where each line of a file ends. */
function lineEnds(file: string): number[] {
  return [...readFileSync(file).entries()].flatMap(([index, byte]) => (byte === 10 ? [index + 1] : []))
}

describe('createFileEventStore', () => {
  it('has after a crash at any byte exactly the appends that were whole, and goes on from there', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 3 }), async (rounds) => {
        const dir = mkdtempSync(join(root, 'store-'))
        const file = join(dir, 'task.jsonl')
        let log: LoggedEvent[] = []
        let appendEnds = [0]
        for (const { steps, share } of rounds) {
          const stores = [0, 1, 2].map(() => createFileEventStore({ dir, onWarning() {} }))
          let pending: Promise<void>[] = []
          for (const { store, waits, texts } of steps) {
            if (waits) await Promise.all(pending)
            const events = eventsOf(texts, log.length)
            const summary = sampleSummary('task', log.length + events.length)
            const appending = stores[waits ? store : 0]!.append('task', events, { after: log.length, summary })
            pending = waits ? [] : [...pending, appending]
            if (waits) await appending
            log = [...log, ...events]
            appendEnds = [...appendEnds, log.length]
          }
          await Promise.all(pending)
          expect(await collect(stores[1]!.read('task'))).toEqual(log)
          await Promise.all(stores.map((store) => store.close()))

          const ends = lineEnds(file)
          expect(ends).toHaveLength(log.length)
          const cut = Math.round(share * statSync(file).size)
          truncateSync(file, cut)
          const wholeLines = ends.filter((end) => end <= cut).length
          appendEnds = appendEnds.filter((end) => end <= wholeLines)
          log = log.slice(0, appendEnds.at(-1))
          const again = createFileEventStore({ dir })
          expect(await collect(again.read('task')).catch((error) => error.code)).toEqual(log.length === 0 ? 'UNKNOWN_TASK' : log)
          if (cut > 0 && log.length > 0) expect((await collect(again.tasks()))[0]).toEqual(sampleSummary('task', log.length))
          await again.close()
        }
      }),
      { numRuns: 150 },
    )
  })
})
