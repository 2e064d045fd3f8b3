import { createHash } from 'node:crypto'
import type { LoggedEvent } from '../events/event.ts'
import { isAside, isKnown } from '../events/event.ts'

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

/** A step as the detector keeps it: all that is compared, and words for people. */
interface Step {
  readonly print: string
  readonly text: string
}

/**
 * Watches for the same step with the same result again and again, for two steps in alternation, and for replies without any action that leave
 * the checks failing or are cut off. A step is what one reply of a model calls. A message or a resume by a person starts the count anew.
 */
export function createStuckDetector(options: StuckOptions = {}): StuckDetector {
  const nudgeAfter = options.nudgeAfter ?? 3
  const pauseAfter = options.pauseAfter ?? 5
  /** Enough for an alternation of two steps up to the pause. */
  const memory = 2 * Math.max(nudgeAfter, pauseAfter) + 2
  const inputs = new Map<string, Step>()
  /** The calls of the last reply, with what those that are over came to. */
  let reply = new Map<string, Step | undefined>()
  let steps: Step[] = []
  let talk = 0
  let talkIs = ''
  let acted = false
  let round = 0
  let since = 0

  function reset(seq: number): void {
    steps = []
    talk = 0
    since = seq
  }

  function push(step: Step): void {
    steps.push(step)
    if (steps.length > memory) steps.shift()
  }

  function pushReply(): void {
    const over = [...reply.values()].filter((step) => step !== undefined)
    reply = new Map()
    const [first, ...more] = over
    if (!first) return
    const text = more.length === 0 ? first.text : `${first.text} and ${more.length} more`
    push({ print: print(over.map((step) => step.print).join('\n')).print, text })
  }

  function noteTalk(what: string): void {
    if (what !== talkIs) talk = 0
    talkIs = what
    talk++
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
      if (!isKnown(event) || isAside(event)) return
      switch (event.type) {
        case 'run.started':
          round = 0
          reset(event.seq)
          return
        case 'run.resumed':
        case 'approval.decided':
          reset(event.seq)
          return
        case 'message.sent':
          if (event.actor.kind === 'human') reset(event.seq)
          return
        case 'model.finished':
          pushReply()
          for (const { callId } of event.data.toolCalls) reply.set(callId, undefined)
          if (event.data.finishReason === 'length' && event.data.toolCalls.length === 0)
            noteTalk('replies were cut off at the output limit')
          return
        case 'tool.called':
          acted = true
          talk = 0
          inputs.set(event.data.callId, print(`${event.data.tool} ${JSON.stringify(event.data.input)}`))
          return
        case 'tool.finished': {
          const { callId, outcome, output } = event.data
          const input = inputs.get(callId)
          inputs.delete(callId)
          if (!input) return
          const step = { print: print(`${input.print} ${outcome} ${output}`).print, text: input.text }
          if (!reply.has(callId)) return push(step)
          reply.set(callId, step)
          if (![...reply.values()].includes(undefined)) pushReply()
          return
        }
        case 'check.finished':
          // Several checks that fail in one round are one failure.
          if (event.data.outcome === 'passed' || event.data.round === round) return
          round = event.data.round
          if (!acted) noteTalk('checks failed with nothing done in between')
          acted = false
          return
        default:
          return
      }
    },
    get finding(): StuckFinding | undefined {
      const found = [
        { count: repeated(1), detail: (count: number) => `the same step gave the same result ${count} times: ${steps.at(-1)?.text}` },
        {
          count: repeated(2),
          detail: (count: number) =>
            `two steps alternate with the same results ${count} times: ${steps.at(-2)?.text} and ${steps.at(-1)?.text}`,
        },
        { count: talk, detail: () => `${talk} times ${talkIs}` },
      ].find(({ count }) => count >= nudgeAfter)
      if (!found) return undefined
      return { action: found.count >= pauseAfter ? 'pause' : 'nudge', detail: found.detail(found.count), key: `stuck-${since}` }
    },
  }
}

function print(text: string): { print: string; text: string } {
  return { print: text.length < 128 ? text : createHash('sha256').update(text).digest('hex'), text: text.slice(0, 200) }
}
