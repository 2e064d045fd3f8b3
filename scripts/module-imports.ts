import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** One mention of another module in a source file. */
export interface ModuleImport {
  specifier: string
  line: number
}

/** Lists everything a source file imports, statically, dynamically by a literal, or as a type. */
export function moduleImports(file: string): ModuleImport[] {
  const source = parse(file)
  const found: ModuleImport[] = []
  const add = (node: ts.Node | undefined): void => {
    if (node === undefined || !ts.isStringLiteralLike(node)) return
    found.push({ specifier: node.text, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal)
    else if (ts.isModuleDeclaration(node)) add(node.name)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0])
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** Lists the names that a module exports, in alphabetical order. Throws on `export *` and on a default export, whose names a reader cannot see. */
export function exportedNames(file: string): string[] {
  const source = parse(file)
  const names = new Set<string>()
  for (const statement of source.statements) {
    if (ts.isExportAssignment(statement)) throw new Error(`${file}: a default export has no public name`)
    if (ts.isExportDeclaration(statement)) {
      const clause = statement.exportClause
      if (clause === undefined) throw new Error(`${file}: "export *" hides the public names; list them one by one`)
      if (ts.isNamespaceExport(clause)) names.add(clause.name.text)
      else for (const element of clause.elements) names.add(element.name.text)
    } else if (ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some((one) => one.kind === ts.SyntaxKind.ExportKeyword)) {
      for (const name of declaredNames(statement)) names.add(name)
    }
  }
  return [...names].sort()
}

/** Lists the TypeScript files below a folder; none where the folder is missing. */
export function sourceFiles(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !join(entry.parentPath, '/').includes('/node_modules/'))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
}

function declaredNames(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.flatMap((one) => (ts.isIdentifier(one.name) ? [one.name.text] : []))
  }
  const { name } = statement as ts.DeclarationStatement
  return name === undefined ? [] : [name.text]
}
