//! The command's help: verbs in groups, an example below each verb.

use clap::{Command, CommandFactory};

use crate::args::Cli;
use crate::reference;

/// Verbs as the first page of help shows them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Artifacts", &["put", "get", "use", "ls", "log", "diff", "rm", "artifact"]),
    ("Lineage", &["run", "whence", "lineage", "impact"]),
    (
        "Repository",
        &[
            "du",
            "retention",
            "gc",
            "verify",
            "repair",
            "push",
            "pull",
            "admin",
            "upgrade",
            "project",
            "manifest",
            "cache",
            "init",
            "doctor",
            "completions",
        ],
    ),
];

/// The whole tree of verbs, ready to parse and to explain itself.
pub(crate) fn command() -> Command {
    let command = with_examples(Cli::command(), "");
    let page = first_page(&command);
    command.help_template(page)
}

fn with_examples(command: Command, path: &str) -> Command {
    let mut command = command;
    if let Some(entry) = reference::entry(path) {
        command = command.after_help(examples(entry.examples));
    }
    command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        with_examples(sub, path.trim_start())
    })
}

fn examples(lines: &[&str]) -> String {
    let head = if lines.len() == 1 { "Example:" } else { "Examples:" };
    lines.iter().fold(head.to_owned(), |text, line| format!("{text}\n  {line}"))
}

fn first_page(command: &Command) -> String {
    let mut page = String::from("{about}\n\n{usage-heading} {usage}\n");
    for (group, verbs) in GROUPS {
        page.push_str(&format!("\n{group}:\n"));
        for verb in *verbs {
            let about = command.find_subcommand(verb).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            page.push_str(&format!("  {verb:<12} {about}\n"));
        }
    }
    page.push_str(
        "\n{options}\n\n`heirloom VERB --help` explains a verb; `heirloom artifact --help` lists further ones.\n\
         First steps: heirloom put DIR -n NAME -t dataset, heirloom ls, heirloom get NAME",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_one_group() {
        let command = Cli::command();
        let mut shown: Vec<&str> =
            GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        let mut verbs: Vec<&str> = command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(Command::get_name)
            .collect();
        shown.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(shown, verbs);
    }

    #[test]
    fn the_tree_of_verbs_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn help_of_a_verb_ends_with_its_example() {
        let mut command = command();
        let put = command.find_subcommand_mut("put").unwrap();
        let text = put.render_long_help().to_string();
        assert!(text.contains("Examples:\n  heirloom put"), "{text}");
    }
}
