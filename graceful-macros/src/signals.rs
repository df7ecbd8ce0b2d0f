//! `signals = […]`, `signals(stop = […], …)` and `signals = convention`.

use syn::{
    Ident, LitStr, Token, bracketed,
    ext::IdentExt,
    parenthesized,
    parse::{ParseBuffer, ParseStream},
    token,
};

use crate::{errors::Errors, list, signal, suggest};

/// The signals and their roles, as written.
#[derive(Debug)]
pub(crate) enum Signals {
    Convention(Ident),
    Roles(Vec<RoleList>),
    Stop(Vec<Ident>),
}

/// `role = [signals]`
#[derive(Debug)]
pub(crate) struct RoleList {
    pub(crate) role: Ident,
    pub(crate) signals: Vec<Ident>,
}

impl Signals {
    /// The list of `role`, if the role is written.
    pub(crate) fn role(&self, role: &str) -> Option<&RoleList> {
        match self {
            Self::Roles(lists) => lists.iter().find(|list| list.role == role),
            Self::Convention(_) | Self::Stop(_) => None,
        }
    }

    /// Each signal that is written, with its role.
    pub(crate) fn named(&self) -> Vec<(&Ident, String)> {
        match self {
            Self::Convention(_) => Vec::new(),
            Self::Roles(lists) => lists
                .iter()
                .flat_map(|list| list.signals.iter().map(|signal| (signal, list.role.to_string())))
                .collect(),
            Self::Stop(signals) => {
                signals.iter().map(|signal| (signal, "stop".to_owned())).collect()
            }
        }
    }
}

/// Reads the text after `signals`. If some of it is wrong, it adds the errors and returns the rest.
pub(crate) fn read(
    input: ParseStream<'_>,
    name: &Ident,
    errors: &mut Errors,
) -> syn::Result<Signals> {
    let signals = if input.peek(token::Paren) {
        Signals::Roles(read_roles(input, errors)?)
    } else if input.parse::<Token![=]>().is_err() {
        return Err(syn::Error::new(name.span(), "expected `signals = […]` or `signals(…)`"));
    } else if input.peek(token::Bracket) {
        Signals::Stop(read_list(input, Empty::Refused, errors)?)
    } else {
        Signals::Convention(read_convention(input)?)
    };
    refuse_duplicates(&signals, errors);
    Ok(signals)
}

enum Empty {
    Allowed,
    Refused,
}

fn read_list(input: ParseStream<'_>, empty: Empty, errors: &mut Errors) -> syn::Result<Vec<Ident>> {
    let content: ParseBuffer<'_>;
    let brackets = bracketed!(content in input);
    if content.is_empty() && matches!(empty, Empty::Refused) {
        errors.at(brackets.span.join(), "expected at least one signal, such as `TERM`");
    }
    let mut signals = Vec::new();
    list::separated(&content, errors, |input, _| {
        signals.push(signal::read(input)?);
        Ok(())
    });
    Ok(signals)
}

fn read_roles(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Vec<RoleList>> {
    let content: ParseBuffer<'_>;
    let parentheses = parenthesized!(content in input);
    if content.is_empty() {
        errors.at(parentheses.span.join(), "expected at least one role, such as `stop = [TERM]`");
    }
    let mut lists: Vec<RoleList> = Vec::new();
    list::separated(&content, errors, |input, errors| {
        let list = read_role(input, errors)?;
        if lists.iter().any(|other| other.role == list.role) {
            return Err(syn::Error::new(
                list.role.span(),
                format!("the role `{}` is written twice", list.role),
            ));
        }
        lists.push(list);
        Ok(())
    });
    Ok(lists)
}

fn read_role(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<RoleList> {
    let role = input
        .call(Ident::parse_any)
        .map_err(|_| input.error("expected a role, such as `stop = [TERM]`"))?;
    let name = role.to_string();
    if signal::is_name(&name) {
        return Err(syn::Error::new(
            role.span(),
            format!("expected a role, write `stop = [{name}]`"),
        ));
    }
    if !ROLES.contains(&name.as_str()) {
        return Err(syn::Error::new(role.span(), suggest::unknown("role", &name, ROLES)));
    }
    if name == "restart" {
        errors.at(role.span(), RESTART);
    }
    if input.parse::<Token![=]>().is_err() || !input.peek(token::Bracket) {
        return Err(syn::Error::new(
            role.span(),
            format!("expected a list, such as `{name} = [TERM]`"),
        ));
    }
    Ok(RoleList { signals: read_list(input, Empty::Allowed, errors)?, role })
}

fn read_convention(input: ParseStream<'_>) -> syn::Result<Ident> {
    let expected = "expected a list such as `[TERM, INT]`, or a convention such as `docker`";
    if input.is_empty() || input.peek(LitStr) {
        return Err(input.error(expected));
    }
    let convention = input.call(Ident::parse_any).map_err(|_| input.error(expected))?;
    let name = convention.to_string();
    let names: Vec<_> = CONVENTIONS.iter().map(|&(name, _)| name).collect();
    let message = match CONVENTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, "")) => return Ok(convention),
        Some((_, signals)) => format!("the convention `{name}` hands over on {signals}; {RESTART}"),
        None if signal::is_name(&name) => format!("expected a list, write `[{name}]`"),
        None => suggest::unknown("convention", &name, &names),
    };
    Err(syn::Error::new(convention.span(), message))
}

fn refuse_duplicates(signals: &Signals, errors: &mut Errors) {
    let named = signals.named();
    for (n, (signal, role)) in named.iter().enumerate() {
        match named.iter().take(n).find(|(earlier, _)| earlier == signal) {
            Some((_, first)) if first == role => {
                errors.at(signal.span(), format!("`{signal}` is listed twice"))
            }
            Some((_, first)) => {
                errors.at(
                    signal.span(),
                    format!("`{signal}` already has the role `{first}`, expected one role"),
                );
            }
            None => {}
        }
    }
}

const ROLES: &[&str] = &["stop", "force", "exit", "reload", "restart"];

/// The conventions, with their signals for a hand-over. A convention with such a signal is refused until `restart` is available.
const CONVENTIONS: &[(&str, &str)] = &[
    ("nginx", "HUP"),
    ("apache", "HUP"),
    ("uwsgi", "HUP and TERM"),
    ("gunicorn", "HUP"),
    ("docker", ""),
];

const RESTART: &str = "`restart` signals are not available yet";

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse::Parser;

    /// The signals that are read, as `role:SIGNAL`, or the convention, and the errors.
    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut errors = Errors::default();
        let parser = |input: ParseStream<'_>| {
            let name = input.parse()?;
            super::read(input, &name, &mut errors)
        };
        let signals = parser.parse_str(text);
        let read = errors.take(signals).map_or_else(Vec::new, |signals| match &signals {
            Signals::Convention(name) => vec![name.to_string()],
            lists => {
                lists.named().iter().map(|(signal, role)| format!("{role}:{signal}")).collect()
            }
        });
        (read, errors.messages())
    }

    fn messages(text: &str) -> Vec<String> {
        read(text).1
    }

    #[test]
    fn a_list_without_a_role_has_the_role_stop() {
        assert_eq!(read("signals = [TERM, INT,]").0, ["stop:TERM", "stop:INT"]);
    }

    #[test]
    fn roles_have_lists() {
        let (read, errors) = read("signals(stop = [], force = [INT, QUIT], reload = [HUP])");
        assert_eq!(read, ["force:INT", "force:QUIT", "reload:HUP"]);
        assert_eq!(errors, [""; 0]);
    }

    #[test]
    fn docker_is_a_convention() {
        assert_eq!(read("signals = docker").0, ["docker"]);
    }

    #[test]
    fn conventions_with_a_hand_over_are_refused() {
        for (name, signals) in
            [("nginx", "HUP"), ("apache", "HUP"), ("uwsgi", "HUP and TERM"), ("gunicorn", "HUP")]
        {
            let expected = format!(
                "the convention `{name}` hands over on {signals}; `restart` signals are not available yet"
            );
            assert_eq!(messages(&format!("signals = {name}")), [expected]);
        }
        assert_eq!(
            messages("signals(restart = [USR2])"),
            ["`restart` signals are not available yet"]
        );
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(messages("signals = []"), ["expected at least one signal, such as `TERM`"]);
        assert_eq!(messages("signals()"), ["expected at least one role, such as `stop = [TERM]`"]);
        assert_eq!(messages("signals"), ["expected `signals = […]` or `signals(…)`"]);
    }

    #[test]
    fn a_list_has_brackets() {
        assert_eq!(messages("signals = TERM"), ["expected a list, write `[TERM]`"]);
        assert_eq!(messages("signals(stop = TERM)"), ["expected a list, such as `stop = [TERM]`"]);
        assert_eq!(messages("signals(TERM)"), ["expected a role, write `stop = [TERM]`"]);
        assert_eq!(
            messages("signals = \"docker\""),
            ["expected a list such as `[TERM, INT]`, or a convention such as `docker`"]
        );
    }

    #[test]
    fn a_signal_has_one_role() {
        assert_eq!(messages("signals = [TERM, INT, TERM]"), ["`TERM` is listed twice"]);
        assert_eq!(
            messages("signals(reload = [HUP], stop = [HUP])"),
            ["`HUP` already has the role `reload`, expected one role"]
        );
        assert_eq!(
            messages("signals(stop = [INT], stop = [TERM])"),
            ["the role `stop` is written twice"]
        );
    }

    #[test]
    fn the_nearest_name_is_suggested_for_an_unknown_one() {
        assert!(
            messages("signals = dokcer")
                .concat()
                .starts_with("unknown convention `dokcer`, did you mean `docker`?")
        );
        assert!(
            messages("signals(stp = [INT])")
                .concat()
                .starts_with("unknown role `stp`, did you mean `stop`?")
        );
    }

    #[test]
    fn one_error_does_not_hide_the_next() {
        let (read, errors) = read("signals(stop = [TERM, KILL, USR9], force = [INT, 5])");
        assert_eq!(read, ["stop:TERM", "force:INT"]);
        assert_eq!(errors.len(), 3, "{errors:?}");
    }
}
