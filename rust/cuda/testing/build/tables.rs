//! What is made from the kernels' text: tables of its kernels and of its structs.

/// The text as a program for the host: in a namespace of its own, with the tables behind it.
pub(crate) fn program(text: &str) -> String {
    let mut program = format!("#include \"device.h\"\n#include \"table.h\"\n\nnamespace {{\n{text}\n}}\n");
    program += "\n#line 1 \"tables\"\n#pragma GCC diagnostic ignored \"-Winvalid-offsetof\"\n";
    program += "extern const Kernel mimi_kernels[] = {\n";
    let kernels = kernels(text);
    kernels.iter().for_each(|name| program += &format!("    kernel_of<{name}>(\"{name}\"),\n"));
    program += "    {}};\n";
    program += &format!("extern const unsigned mimi_kernel_count = {};\n", kernels.len());
    program += "extern const Field mimi_fields[] = {\n";
    let structs = structs(text);
    let mut count = 0;
    for (name, fields) in &structs {
        program += &format!("    {{\"{name}\", \"\", 0, sizeof({name})}},\n");
        for field in fields {
            program += &format!(
                "    {{\"{name}\", \"{field}\", offsetof({name}, {field}), sizeof((({name}*)0)->{field})}},\n"
            );
        }
        count += 1 + fields.len();
    }
    program += "    {}};\n";
    program + &format!("extern const unsigned mimi_field_count = {count};\n")
}

/// The text with its dynamic shared memory where the host has it: `extern __shared__ float4 name[];` declares a pointer.
pub(crate) fn dynamic_shared_memory(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let Some(declaration) = line.trim().strip_prefix("extern __shared__ ") else { return line.to_string() };
        let declaration = declaration
            .strip_prefix("__align__")
            .map_or(declaration, |aligned| aligned.split_once(')').map_or(aligned, |(_, rest)| rest.trim_start()));
        let parts = declaration.split_once("[]").and_then(|(declared, _)| declared.trim().rsplit_once(' '));
        let Some((kind, name)) = parts else { panic!("expected `extern __shared__ TYPE NAME[];`, got {line}") };
        format!("[[maybe_unused]] {kind}* const {name} = ({kind}*)mimi_dynamic_shared;")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The names of the kernels: `extern "C" __global__ void __launch_bounds__(...) name(`.
fn kernels(text: &str) -> Vec<&str> {
    let definitions = text.split("extern \"C\" __global__ void").skip(1);
    let names = definitions.map(|definition| {
        let definition = definition.trim_start();
        let rest = match definition.strip_prefix("__launch_bounds__(") {
            Some(bounds) => bounds.split_once(')').map_or("", |(_, rest)| rest),
            None => definition,
        };
        rest.split('(').next().unwrap_or_default().trim()
    });
    names.collect()
}

/// The structs that begin a line, with their fields: plain ones, `type name;` or `type first, second;`.
fn structs(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut structs = Vec::new();
    let mut lines = text.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {"));
        if let Some(name) = name.filter(|_| !before.starts_with("template")) {
            let body = lines.by_ref().take_while(|line| !line.starts_with('}'));
            structs.push((name, body.flat_map(fields).collect()));
        }
        before = line;
    }
    structs
}

fn fields(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default().trim();
    let Some(declaration) = code.strip_suffix(';').filter(|code| !code.contains(['(', '{', '}', '='])) else {
        return Vec::new();
    };
    if declaration.starts_with("return") || declaration.starts_with("static") {
        return Vec::new();
    }
    let names = declaration.split(',').map(|part| part.rsplit([' ', '*']).next().unwrap_or_default());
    names.map(|name| name.split('[').next().unwrap_or_default()).collect()
}
