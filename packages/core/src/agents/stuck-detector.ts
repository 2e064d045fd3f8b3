import { createHash } from 'node:crypto'
import type { LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'

/** After how many repetitions the agent is nudged, and then paused. */
export interface StuckOptions {
  /** Default 3. */
  readonly nudgeAfter?: number | undefined
  /** Default 5. */
  readonly pauseAfter?: number | undefined
}

/** What the detector found. `key` is the same for one and the same situation. */
export interface StuckFinding {
  readonly action: 'nudge' | 'pause'
  readonly detail: string
  readonly key: string
}

/** Notices an agent that goes in circles, from its events alone. */
export interface StuckDetector {
  apply(event: LoggedEvent): void
  /** What there is to do now. */
  readonly finding: StuckFinding | undefined
}

/** How many of the last steps are kept: enough for an alternation of two steps up to the pause. */
const memory = 32

/**
 * Watches for the same call with the same result again and again, for two such steps in alternation, and for replies without any action
 * that leave the checks failing. A message or a resume by a person starts the count anew.
 */
export function createStuckDetector(options: StuckOptions = {}): StuckDetector {
  const nudgeAfter = options.nudgeAfter ?? 3
  const pauseAfter = options.pauseAfter ?? 5
  const inputs = new Map<string, { print: string; text: string }>()
  let steps: { print: string; text: string }[] = []
  let talk = 0
  let acted = false
  let since = 0

  function reset(seq: number): void {
    steps = []
    talk = 0
    since = seq
  }

  function repeated(period: number): number {
    const last = steps.length - 1
    if (period === 2 && steps[last]?.print === steps[last - 1]?.print) return 0
    let count = 0
    for (let index = last; index >= 0 && steps[index]?.print === steps[last - ((last - index) % period)]?.print; index--) count++
    return Math.floor(count / period)
  }

  return {
    apply(event) {
      if (!isKnown(event)) return
      switch (event.type) {
        case 'run.started':
        case 'run.resumed':
        case 'approval.decided':
          reset(event.seq)
          return
        case 'message.sent':
          if (event.actor.kind === 'human') reset(event.seq)
          return
        case 'tool.called':
          acted = true
          talk = 0
          inputs.set(event.data.callId, print(`${event.data.tool} ${JSON.stringify(event.data.input)}`))
          return
        case 'tool.finished': {
          const input = inputs.get(event.data.callId)
          inputs.delete(event.data.callId)
          if (!input) return
          steps.push({ print: print(`${input.print} ${event.data.outcome} ${event.data.output}`).print, text: input.text })
          if (steps.length > memory) steps.shift()
          return
        }
        case 'check.finished':
          if (event.data.outcome === 'passed') return
          if (!acted) talk++
          acted = false
          return
        default:
          return
      }
    },
    get finding(): StuckFinding | undefined {
      const same = repeated(1)
      const turns = repeated(2)
      const last = steps.at(-1)?.text ?? ''
      const found: { count: number; detail: string } | undefined =
        same >= nudgeAfter
          ? { count: same, detail: `the same call gave the same result ${same} times: ${last}` }
          : turns >= nudgeAfter
            ? { count: turns, detail: `two calls alternate with the same results ${turns} times: ${steps.at(-2)?.text ?? ''} and ${last}` }
            : talk >= nudgeAfter - 1
              ? { count: talk + 1, detail: `the checks failed ${talk} times with nothing done in between` }
              : undefined
      if (!found || found.count < nudgeAfter) return undefined
      return { action: found.count >= pauseAfter ? 'pause' : 'nudge', detail: found.detail, key: `stuck-${since}` }
    },
  }
}

function print(text: string): { print: string; text: string } {
  return { print: text.length < 128 ? text : createHash('sha256').update(text).digest('hex'), text: text.slice(0, 200) }
}
