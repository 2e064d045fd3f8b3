import type { ModelCall } from '../agents/agent.ts'
import { systemActor } from '../events/envelope.ts'
import type { TaskSummary } from '../events/event-store.ts'
import type { ModelMessage, ModelReply } from '../models/model.ts'
import { boundText } from '../sandbox/bounded-output.ts'
import type { ActiveRun } from './run-context.ts'
import type { TaskRuntime } from './runtime.ts'

/** Bytes of one message in the transcript that is summed up. */
const maxMessageBytes = 4_000

const instructions = `Sum up the work of a coding agent so far, for the agent itself to go on from: it will see your summary and the latest steps, and nothing else.
Keep: what was asked, in the people's own words where they set conditions; what was found out, with paths, names and figures; what was changed, file by file; what was tried and did not work, and why; what is still to do. Leave out small talk and the content of files that can be read again. At most 800 words.`

/** Whether the next prompt from the log would come too near to the model's context window. */
export function needsCompaction({ projection, parts, state }: TaskRuntime, { compaction }: ModelCall, overhead: number): boolean {
  if (compaction === false) return false
  return overhead + projection.tokens + projection.pendingTokens > (compaction?.at ?? 0.8) * windowOf(parts.router, state.lastModel)
}

/** The window of the model that answered last, else the smallest there is. */
function windowOf(router: TaskRuntime['parts']['router'], lastModel: string | undefined): number {
  const models = router?.models ?? []
  const last = models.find(({ id }) => id === lastModel)
  return last ? last.info.contextWindow : Math.min(...models.map(({ info }) => info.contextWindow), Number.MAX_SAFE_INTEGER)
}

/** Has the older part of the conversation summed up. Returns false where there is nothing to cut. */
export async function compact(
  active: ActiveRun,
  call: ModelCall,
  send: (active: ActiveRun, call: ModelCall, includes: number) => Promise<ModelReply>,
): Promise<boolean> {
  const { runtime } = active
  const { projection, parts, state, stream } = runtime
  const window = windowOf(parts.router, state.lastModel)
  const keep = (call.compaction === false ? undefined : call.compaction?.keep) ?? 0.2
  // In the log as what the call for the summary includes, so that a later reading of the log puts everything in the same place.
  const includes = stream.lastSeq
  projection.advance(includes)
  const tokensBefore = projection.tokens
  const cut = projection.cutFor(keep * window)
  if (!cut) return false
  // Half the window for the transcript leaves room for instructions and summary; 2 bytes a token is on the safe side.
  const transcript = boundText(cut.replaced.map(render).join('\n\n'), Math.floor(window * 0.5 * 2))
  const messages: ModelMessage[] = [
    { role: 'system', text: instructions },
    { role: 'user', parts: [{ type: 'text', text: transcript.text }] },
  ]
  const reply = await send(active, { role: 'summarize', messages }, includes)
  await runtime.drive([
    {
      type: 'context.compacted',
      actor: systemActor,
      data: {
        projection: projection.number + 1,
        upTo: cut.upTo,
        // A model that has nothing to say must not cost the agent its memory.
        summary: reply.text.trim() === '' ? boundText(transcript.text, maxMessageBytes).text : reply.text,
        tokensBefore,
        sensitivity: (stream.summary as TaskSummary).sensitivity,
      },
    },
  ])
  return true
}

function render(message: ModelMessage): string {
  const short = (text: string): string => boundText(text, maxMessageBytes).text
  switch (message.role) {
    case 'system':
      return ''
    case 'user':
      return `PERSON: ${short(message.parts.map((part) => (part.type === 'text' ? part.text : '[image]')).join('\n'))}`
    case 'assistant': {
      const calls = message.toolCalls.map(({ tool, arguments: input }) => `CALL ${tool} ${short(input)}`)
      return [`AGENT: ${short(message.text)}`, ...calls].join('\n')
    }
    case 'tool':
      return `RESULT of ${message.tool}${message.failed ? ' (failed)' : ''}: ${short(message.text)}`
  }
}
