import { z } from 'zod'
import type { ProposedCall } from '../events/model-events.ts'
import { parseOptions } from '../options.ts'
import type { Agent, AgentContext, Compaction, ToolCallOptions } from './agent.ts'

/** Options of {@link createModelAgent}. */
export interface ModelAgentOptions {
  /** Default `coder`. */
  readonly name?: string | undefined
  /** Standing instructions. Default: {@link defaultInstructions}. */
  readonly instructions?: string | undefined
  /** What its calls are for; the router goes by it. Default `code`. */
  readonly role?: string | undefined
  /** Names of the tools it may use. Default: all. */
  readonly tools?: readonly string[] | undefined
  readonly temperature?: number | undefined
  readonly maxOutputTokens?: number | undefined
  readonly reasoningEffort?: 'minimal' | 'low' | 'medium' | 'high' | undefined
  readonly compaction?: Compaction | false | undefined
}

const Options = z.strictObject({
  name: z.string().min(1).default('coder'),
  instructions: z.string().optional(),
  role: z.string().min(1).default('code'),
  tools: z.array(z.string()).optional(),
  temperature: z.number().min(0).max(2).optional(),
  maxOutputTokens: z.int().positive().optional(),
  reasoningEffort: z.enum(['minimal', 'low', 'medium', 'high']).optional(),
  compaction: z
    .union([z.literal(false), z.strictObject({ at: z.number().gt(0).max(1).optional(), keep: z.number().min(0).lt(1).optional() })])
    .optional(),
})

/** What a model agent is told where nothing else is said. */
const defaultInstructions = `You are a coding agent. You work on a task in a sandbox, by the tools you are given, together with the people of the task.

- Find out before you change: read the code that matters, and run it or its tests where you can.
- Make the smallest change that does what was asked, in the style of what is there. Leave alone what was not asked for.
- After a change, run what shows that it works. Report only what you saw.
- The people see all you do, and may write to you, edit files or run commands at any time. What they say and do goes before your own plan.
- When you are done, or cannot go on, answer without calling a tool: say in a few sentences what you did and what is left.`

/**
 * Builds the agent that is a loop over a model: asks it, runs the tools it calls, and asks again until it answers without a call. It keeps
 * nothing of its own: each step follows from the log, so it goes on after a crash where it was.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createModelAgent(options: ModelAgentOptions = {}): Agent {
  const { name, ...call } = parseOptions('createModelAgent', Options, options)
  const request = { ...call, instructions: call.instructions ?? defaultInstructions }
  return {
    name,
    async run(context) {
      for (;;) {
        await runCalls(context, context.openCalls, { tools: call.tools })
        const { lastReply } = context
        if (lastReply && lastReply.toolCalls.length === 0 && context.unseen === 0) return { text: lastReply.text }
        await context.model(request)
      }
    },
  }
}

/** Calls that only read run together, others one after the other and alone, in the order of the reply. */
async function runCalls(context: AgentContext, calls: readonly ProposedCall[], options: ToolCallOptions): Promise<void> {
  const reading = new Set(context.tools.filter(({ effect }) => effect === 'read').map(({ name }) => name))
  let together: Promise<unknown>[] = []
  for (const call of calls) {
    if (!reading.has(call.tool)) {
      await allOf(together)
      together = []
      await context.tool(call, options)
    } else {
      together.push(context.tool(call, options))
    }
  }
  await allOf(together)
}

/** Waits for all before it throws, so that nothing is still running when the turn ends. */
async function allOf(promises: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
