import { z } from 'zod'
import { answersOffers } from '../events/control-events.ts'
import type { LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import { parseOptions } from '../options.ts'
import type { Agent, AgentContext } from './agent.ts'

/** Options of {@link createHumanAgent}. */
export interface HumanAgentOptions {
  /** Default `human`. */
  readonly name?: string | undefined
  /** Id of the person who is asked. Default: anyone, whoever takes it first. */
  readonly to?: string | undefined
}

const Options = z.strictObject({ name: z.string().min(1).default('human'), to: z.string().min(1).optional() })

/**
 * Builds an agent whose work is done by a person: a task that is given to it waits in the inbox until somebody takes control, works at the desk, and
 * gives control back; their note is its last word. Checks that fail come back in the same way. An agent delegates to it as to any other.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createHumanAgent(options: HumanAgentOptions = {}): Agent {
  const { name, to } = parseOptions('createHumanAgent', Options, options)
  return {
    name,
    async run(context) {
      const { key, news } = await nextTurn(context)
      const reason = [context.task.goal, ...news].join('\n\n')
      const { taken, by, note } = await context.handOver({ key, reason, ...(to !== undefined && { to }) })
      const who = by.name ?? by.id
      return { text: note ?? (taken ? `${who} has done it.` : `${who} declined.`) }
    },
  }
}

/** The turn to take: the last one again, unless something came up since it was answered. What came up is what the next one is about. */
async function nextTurn({ events }: AgentContext): Promise<{ key: string; news: readonly string[] }> {
  let turns = 0
  let state: 'over' | 'open' | 'answered' = 'over'
  let news: string[] = []
  for await (const event of events.read()) {
    if (!isKnown(event)) continue
    if (event.type === 'control.offered' && event.data.key === `turn-${turns + 1}`) {
      turns++
      state = 'open'
    } else if (state === 'open' && isAnswer(event)) {
      state = 'answered'
      news = []
    } else if (event.type === 'message.sent' && event.actor.kind !== 'agent') {
      news.push(event.data.text)
      if (state === 'answered') state = 'over'
    } else if (event.type === 'run.finished') state = 'over'
  }
  return { key: `turn-${state === 'over' ? turns + 1 : turns}`, news }
}

function isAnswer(event: LoggedEvent): boolean {
  return isKnown(event) && (event.type === 'control.declined' || (event.type === 'control.returned' && answersOffers(event.data)))
}
