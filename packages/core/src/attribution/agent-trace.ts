import { randomUUID } from 'node:crypto'
import type { Contributor, FileAttribution } from './attribute-lines.ts'
import { contributorKey } from './attribute-lines.ts'

/** Who wrote lines, in the words of Agent Trace. */
interface TraceContributor {
  readonly type: 'human' | 'ai' | 'mixed' | 'unknown'
  readonly model_id?: string
}

/** A record of Agent Trace 0.1.0. MIME type `application/vnd.agent-trace.record+json`. Source: agent-trace.dev, section 6.1. */
export interface AgentTraceRecord {
  readonly version: '0.1.0'
  /** UUID. */
  readonly id: string
  /** RFC 3339. */
  readonly timestamp: string
  readonly vcs?: { readonly type: 'git'; readonly revision: string }
  readonly tool?: { readonly name: string; readonly version?: string }
  readonly files: readonly {
    readonly path: string
    readonly conversations: readonly {
      readonly url?: string
      readonly contributor: TraceContributor
      readonly ranges: readonly { readonly start_line: number; readonly end_line: number }[]
    }[]
  }[]
  readonly metadata?: Readonly<Record<string, unknown>>
}

/** Options of {@link toAgentTrace}. */
export interface AgentTraceOptions {
  /** As they are at `revision`. Those without attributed lines are left out. */
  readonly files: readonly FileAttribution[]
  /** The commit that the lines are counted in. */
  readonly revision?: string | undefined
  /** What made the record. */
  readonly tool?: { readonly name: string; readonly version: string } | undefined
  /** Keys by reverse domain name, such as `org.example`. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /** Default: now. */
  readonly time?: Date | undefined
}

/** The longest `model_id` that the format allows. */
const maxModelId = 250

/**
 * Writes down who brought lines about, as an Agent Trace record. An agent is `ai`, a person `human`; what nobody knows, and what Baton itself did, is
 * `unknown`. Source: Agent Trace 0.1.0 (github.com/cursor/agent-trace), sections 6.1 to 6.7.
 */
export function toAgentTrace({ files, revision, tool, metadata, time = new Date() }: AgentTraceOptions): AgentTraceRecord {
  return {
    version: '0.1.0',
    id: randomUUID(),
    timestamp: time.toISOString(),
    ...(revision !== undefined && { vcs: { type: 'git', revision } }),
    ...(tool && { tool }),
    files: files
      .filter(({ path, ranges }) => ranges.length > 0 && path.isWellFormed())
      .map(({ path, ranges }) => ({ path, conversations: conversationsOf(ranges) })),
    ...(metadata && { metadata }),
  }
}

function conversationsOf(ranges: FileAttribution['ranges']): AgentTraceRecord['files'][number]['conversations'] {
  const byContributor = new Map<string, { by: Contributor; ranges: { start_line: number; end_line: number }[] }>()
  for (const { startLine, endLine, by } of ranges) {
    const known = byContributor.get(contributorKey(by)) ?? { by, ranges: [] }
    known.ranges.push({ start_line: startLine, end_line: endLine })
    byContributor.set(contributorKey(by), known)
  }
  return [...byContributor.values()].map(({ by, ranges: own }) => ({
    ...(by.url !== undefined && { url: by.url }),
    contributor: contributorOf(by),
    ranges: own,
  }))
}

function contributorOf({ actor, model }: Contributor): TraceContributor {
  if (actor?.kind === 'human') return { type: 'human' }
  if (actor?.kind !== 'agent') return { type: 'unknown' }
  return { type: 'ai', ...(model !== undefined && model.length <= maxModelId && { model_id: model }) }
}
