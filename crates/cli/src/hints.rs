//! What to do next about an error, where something can be said.

use heirloom::Error;
use heirloom_core::ErrorCode;

/// The hint for an error, by its code and what it carries.
pub(crate) fn of(error: &Error) -> Option<String> {
    if let Some(problem) = error.problem() {
        return of_problem(problem);
    }
    match error {
        Error::Files { .. } => Some(
            "nothing was committed; leave such files out with a `.heirloomignore`, or mend them \
             and repeat the command"
                .into(),
        ),
        Error::FileAndDirectory { .. } => {
            Some("take out what is in the way with `--remove`, which comes before `--add`".into())
        }
        Error::Collision { .. } => Some(
            "put one of them elsewhere: with `--as` in a put of its own, or `--add PATH=LOGICAL` \
                 in an edit"
                .into(),
        ),
        _ => of_message(&error.to_string()).or_else(|| by_code(error.code())),
    }
}

/// Options of this command for what the layers below name in their own words.
fn of_message(message: &str) -> Option<String> {
    let hints = [
        (" but a file is needed there", "`--mirror` replaces what is in the way"),
        ("raise `max_objects`", "`--max-objects N` raises the limit"),
        ("give the entry a name", "`--as PATH` names it"),
    ];
    let (_, hint) = hints.iter().find(|(part, _)| message.contains(part))?;
    Some((*hint).to_owned())
}

fn of_problem(problem: &heirloom_api::Problem) -> Option<String> {
    match (problem.code, &problem.found) {
        (ErrorCode::NotFound, _) if !problem.nearest.is_empty() => Some(did_you_mean(&problem.nearest)),
        (ErrorCode::NotFound, _) if problem.message.starts_with("path ") => {
            Some("`heirloom artifact files NAME` lists the files of a version".into())
        }
        (ErrorCode::NotFound, _) if problem.message.starts_with("run ") => {
            Some("`heirloom run ls` lists the runs of a project; is HEIRLOOM_RUN out of date?".into())
        }
        (ErrorCode::NotFound, _) if problem.message.starts_with("project ") => {
            Some(
                "a project is made by the first `heirloom put` into it; `heirloom project ls` lists \
                 those there are"
                    .into(),
            )
        }
        (ErrorCode::NotFound, _) if problem.message.starts_with("set of parts ") => {
            Some("there is nothing to finish; `heirloom artifact parts` lists what is unfinished".into())
        }
        (ErrorCode::NotFound, _) if problem.message.starts_with("repository ") => {
            Some("`heirloom init` makes one, and so does the first `heirloom put`".into())
        }
        (ErrorCode::NotFound, _) if problem.message.contains(" can be restored") => {
            Some("`heirloom ls --deleted` lists what can be restored".into())
        }
        (ErrorCode::NotFound, _) if problem.message.contains(" was purged") => {
            Some("lineage and `heirloom log` go on to tell of it; its bytes are gone".into())
        }
        (ErrorCode::NotFound, _) if problem.message.ends_with(" is deleted") => Some(
            "`heirloom artifact restore` makes it readable again; `heirloom ls NAME --deleted` says \
             until when it can"
                .into(),
        ),
        (ErrorCode::NotFound, _) if problem.message.starts_with("backup ") => {
            Some("name the directory that `heirloom admin backup` was given".into())
        }
        (ErrorCode::NotFound, _) => {
            Some(
                "`heirloom ls` lists the artifacts of a project, `heirloom ls NAME` the versions of \
                 one; with `--deleted` also what can be restored"
                    .into(),
            )
        }
        (ErrorCode::BaseMoved, Some(_)) => Some(
            "nothing was committed; look at what changed with `heirloom diff`, and repeat the command, or let \
             `--if-base-moved rebase` make the same changes to whatever the name means then"
                .into(),
        ),
        (ErrorCode::BaseMoved, None) => {
            Some("nothing was committed; name the version to start from by its number".into())
        }
        (ErrorCode::WrongType, Some(existing)) => Some(format!(
            "leave `--type` out or give `--type {existing}`; `heirloom artifact update NAME --type T` \
             changes the type of the whole collection"
        )),
        (ErrorCode::Conflict, Some(found)) if problem.message.starts_with("alias ") => {
            Some(format!("re-run with `--expect {found}`, or drop `--expect` to overwrite"))
        }
        (ErrorCode::Conflict, _) if problem.message.starts_with("alias ") => {
            Some("re-run with `--expect none`, or drop `--expect`".into())
        }
        (ErrorCode::Conflict, _) if problem.message.contains(" contradict each other: ") => Some(
            "`heirloom artifact abort` drops the parts; begin again without what is wrong, or with \
             `--on-conflict first` or `last`"
                .into(),
        ),
        (ErrorCode::Conflict, Some(policy)) if problem.message.contains(" have the policy ") => {
            Some(format!("leave `--on-conflict` out, or give `--on-conflict {policy}`"))
        }
        (ErrorCode::Conflict, _) if problem.message.contains(" were not finished in time") => {
            Some("bring the parts again, then finish them".into())
        }
        (ErrorCode::Conflict, _) if problem.message.contains(" is no repository: ") => Some(
            "repeat `heirloom admin backup` or `heirloom admin restore`, or choose another \
             directory with `--home`"
                .into(),
        ),
        (ErrorCode::Conflict, _) if problem.message.contains(" has other content") => {
            Some("the two repositories have drifted apart there; nothing was moved".into())
        }
        (ErrorCode::Forbidden, _) if problem.message.contains("this is a backup") => Some(
            "work in the repository itself, or make one of the backup with `heirloom admin restore \
             DIR --home TARGET`"
                .into(),
        ),
        // These three are settled: the same command again would fail again.
        (ErrorCode::Conflict, _) if problem.message.ends_with(" exists already") => {
            Some("choose another name".into())
        }
        (ErrorCode::Conflict, _) if problem.message.contains(" has ended already ") => {
            Some("`heirloom run start` begins another".into())
        }
        (ErrorCode::Conflict, _) if problem.message.ends_with(" is not deleted") => {
            Some("`heirloom ls NAME --deleted` shows which versions are".into())
        }
        (ErrorCode::Forbidden, _) if problem.message.contains(" is protected ") => Some(
            "`heirloom artifact alias REF ALIAS --unprotect` ends that, for those who may".into(),
        ),
        (ErrorCode::Invalid, _) if problem.message.contains("needs a type") => {
            Some("name it: `--type dataset`, `--type model`, …".into())
        }
        (ErrorCode::InUse, _) if problem.items.iter().any(|item| item.starts_with("link ")) => Some(
            "take links out of their portfolios with `heirloom artifact unlink`; `--delete-aliases` \
             drops aliases"
                .into(),
        ),
        (ErrorCode::InUse, _)
            if problem.items.iter().any(|item| item.starts_with("protected ")) =>
        {
            Some(
                "`heirloom artifact alias REF ALIAS --unprotect` ends the protection, \
                 `--delete-aliases` drops other aliases"
                    .into(),
            )
        }
        (ErrorCode::InUse, _) => Some("`--delete-aliases` drops the aliases with the versions".into()),
        (code, _) => by_code(code),
    }
}

fn by_code(code: ErrorCode) -> Option<String> {
    Some(
        match code {
            ErrorCode::NewerFormat => "install a newer heirloom; this one leaves the repository as it is",
            ErrorCode::OlderFormat => "`heirloom upgrade` brings it to this format, and keeps what it was",
            ErrorCode::NoSpace => {
                "free some space and repeat the command: what was stored already is not stored again"
            }
            ErrorCode::Forbidden => {
                "choose a directory that you may write with `--home DIR` or HEIRLOOM_HOME, or have its \
                 permissions changed; `heirloom doctor` shows which one is used"
            }
            ErrorCode::Corrupt => "`heirloom verify` names everything that is damaged and the versions it hurts",
            ErrorCode::Fenced | ErrorCode::Unavailable => "repeat the command",
            ErrorCode::Conflict => "something changed meanwhile: repeat the command",
            _ => return None,
        }
        .to_owned(),
    )
}

fn did_you_mean(nearest: &[String]) -> String {
    let names: Vec<String> =
        nearest.iter().map(|name| format!("`{}`", crate::text::escaped(name))).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => {
            format!("did you mean {} or {last}?", rest.join(", "))
        }
        names => format!("did you mean {}?", names.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_api::Problem;

    fn hint(problem: Problem) -> String {
        of(&Error::from(problem)).unwrap()
    }

    #[test]
    fn nearest_names_are_suggested() {
        let mut problem = Problem::not_found("artifact", "anmals");
        assert!(hint(problem.clone()).contains("heirloom ls"));
        problem.nearest = vec!["animals".into()];
        assert_eq!(hint(problem.clone()), "did you mean `animals`?");
        problem.nearest.push("mammals".into());
        assert_eq!(hint(problem), "did you mean `animals` or `mammals`?");
    }

    #[test]
    fn a_moved_alias_says_how_to_go_on() {
        let message = "alias `prod` moved to v8 (expected v7)";
        let mut problem = Problem::new(ErrorCode::Conflict, message);
        problem.found = Some("v8".into());
        assert_eq!(hint(problem), "re-run with `--expect v8`, or drop `--expect` to overwrite");
    }

    #[test]
    fn a_base_that_moved_is_no_reason_to_overwrite() {
        let mut problem = Problem::new(ErrorCode::BaseMoved, "`a:latest` names v1 now");
        assert!(hint(problem.clone()).contains("by its number"));
        problem.found = Some("v1".into());
        assert!(hint(problem).contains("--if-base-moved rebase"));
    }

    #[test]
    fn what_is_settled_is_not_to_be_repeated() {
        for message in [
            "artifact `a` exists already",
            "run `r` has ended already and is finished",
            "version `a:v0` is not deleted",
        ] {
            let hint = hint(Problem::new(ErrorCode::Conflict, message));
            assert!(!hint.contains("repeat"), "{message}: {hint}");
        }
        assert!(hint(Problem::new(ErrorCode::Conflict, "another writer won")).contains("repeat"));
    }

    #[test]
    fn a_wrong_type_names_the_right_one() {
        let mut problem = Problem::new(ErrorCode::WrongType, "`a` has type `dataset`, not `model`");
        problem.found = Some("dataset".into());
        assert!(hint(problem).contains("--type dataset"));
    }
}
