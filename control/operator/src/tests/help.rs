//! Every command teaches by examples, and the examples are command lines.

use clap::{Command, CommandFactory};

use super::{Cli, parsed};

/// All commands below `command`, itself included, each with the words that lead to it.
fn all(command: &Command, words: &[String]) -> Vec<(Vec<String>, Command)> {
    let mut found = vec![(words.to_vec(), command.clone())];
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let words: Vec<_> = words.iter().cloned().chain([below.get_name().to_owned()]).collect();
        found.extend(all(below, &words));
    }
    found
}

/// The words of a line, as a shell reads them; what stands behind three spaces is a remark.
fn words(line: &str) -> Vec<String> {
    let line = line.split("   ").next().unwrap_or_default();
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (character, quote) {
            (_, Some(open)) if character == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_has_examples_that_can_be_typed() {
    let mut examples = 0;
    for (path, command) in all(&Cli::command(), &[]).into_iter().skip(1) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let prefix = format!("millrace {}", path.join(" "));
        let lines: Vec<_> = help.lines().map(str::trim).filter(|line| line.starts_with("millrace ")).collect();
        assert!(help.contains("Examples:\n"), "{prefix} has no examples");
        assert!(lines.iter().any(|line| line.starts_with(&prefix)), "{prefix} has no example of its own:\n{help}");
        for line in lines {
            let words = words(line);
            let arguments: Vec<_> = words.iter().skip(1).map(String::as_str).collect();
            assert!(parsed(&arguments).is_ok(), "{line}: {}", parsed(&arguments).unwrap_err());
            examples += 1;
        }
    }
    assert!(examples > 60, "{examples} examples");
}

#[test]
fn lines_are_split_as_a_shell_does() {
    assert_eq!(words(r#"a 'b "c"' "d 'e'" ''        remark"#), ["a", "b \"c\"", "d 'e'", ""]);
}
