import { createHash } from 'node:crypto'
import type { AttributedRange, Contributor, FileAttribution } from './attribute-lines.ts'

/** Options of {@link toGitAiNote}. */
export interface GitAiNoteOptions {
  /** As they are at the commit that the note is for. */
  readonly files: readonly FileAttribution[]
  /** Names the conversation, the same over all its commits: the task's id. */
  readonly taskId: string
  /** The commit that the lines were worked out against: the parent. None for the first of a branch. */
  readonly baseCommit: string | undefined
  /** What the agents run in, as git-ai knows tools. Default `baton`. */
  readonly tool?: string | undefined
  /** Who asked the agents, as `Name <address>`. */
  readonly humanAuthor?: string | undefined
}

/** What the note says of one agent with one model. */
interface PromptRecord {
  readonly agent_id: { readonly tool: string; readonly id: string; readonly model: string }
  readonly human_author?: string
  readonly messages: readonly never[]
  total_additions: number
  total_deletions: number
  accepted_lines: number
  overriden_lines: number
}

/**
 * Writes down which lines agents brought about, as a note for `refs/notes/ai`; undefined where there are none. Lines of people, and lines of which nobody
 * knows who wrote them, are not in it. What was said to the model is not either: `messages` is empty, since a note is pushed with the code. A path that the
 * format cannot say (with a quote or a line break) is left out. Source: Git AI Standard v3.0.0 (github.com/git-ai-project/git-ai), section 1.2.
 */
export function toGitAiNote(options: GitAiNoteOptions): string | undefined {
  const { files, baseCommit } = options
  const prompts: Record<string, PromptRecord> = {}
  const attestations: string[] = []
  for (const { path, ranges, totals } of files) {
    if (/["\n\r]/.test(path) || !path.isWellFormed()) continue
    const rows = new Map<string, string[]>()
    for (const range of ranges) {
      if (range.by.actor?.kind !== 'agent') continue
      const hash = promptOf(prompts, options, range.by)
      rows.set(hash, [...(rows.get(hash) ?? []), rangeText(range)])
      const prompt = prompts[hash]
      if (prompt) prompt.accepted_lines += range.endLine - range.startLine + 1
    }
    if (rows.size > 0)
      attestations.push(/\s/.test(path) ? `"${path}"` : path, ...[...rows].map(([hash, own]) => `  ${hash} ${own.join(',')}`))
    for (const total of totals) {
      if (total.by.actor?.kind !== 'agent') continue
      const prompt = prompts[promptOf(prompts, options, total.by)]
      if (!prompt) continue
      prompt.total_additions += total.added
      prompt.total_deletions += total.removed
      prompt.overriden_lines += total.overridden
    }
  }
  if (attestations.length === 0) return undefined
  const metadata = { schema_version: 'authorship/3.0.0', base_commit_sha: baseCommit ?? '', prompts }
  return `${attestations.join('\n')}\n---\n${JSON.stringify(metadata, undefined, 2)}\n`
}

/** The key of an agent's record, which is made where there is none. */
function promptOf(
  prompts: Record<string, PromptRecord>,
  { taskId, tool = 'baton', humanAuthor }: GitAiNoteOptions,
  by: Contributor,
): string {
  const model = by.model ?? 'unknown'
  const id = [taskId, by.actor?.id, ...(by.model === undefined ? [] : [by.model])].join('/')
  const hash = createHash('sha256').update(`${tool}:${id}`).digest('hex').slice(0, 16)
  prompts[hash] ??= {
    agent_id: { tool, id, model },
    ...(humanAuthor !== undefined && { human_author: humanAuthor }),
    messages: [],
    total_additions: 0,
    total_deletions: 0,
    accepted_lines: 0,
    overriden_lines: 0,
  }
  return hash
}

function rangeText({ startLine, endLine }: AttributedRange): string {
  return startLine === endLine ? String(startLine) : `${startLine}-${endLine}`
}
