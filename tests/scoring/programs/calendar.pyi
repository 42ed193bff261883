"""A calendar's tools."""

from typing import Literal, TypedDict

class Person:
    id: str
    name: str
    email: str

class Room:
    name: str
    capacity: int
    floor: int

class Slot(TypedDict):
    start: str
    end: str

class Event:
    id: str
    title: str
    start: str
    end: str
    organizer: Person
    attendees: list[Person]
    room: Room | None
    repeat: Literal["never", "daily", "weekly"]

class Booking:
    id: str
    room: Room
    confirmed: bool

def list_events(day: str, calendar: str = "work") -> list[Event]:
    """List the events of a day, as YYYY-MM-DD."""

def get_event(event_id: str) -> Event:
    """Get one event."""

def create_event(
    title: str,
    start: str,
    minutes: int = 30,
    attendees: list[str] | None = None,
    room: str | None = None,
    repeat: Literal["never", "daily", "weekly"] = "never",
) -> Event:
    """Create an event. Attendees are mail addresses."""

def move_event(event_id: str, start: str, notify: bool = True) -> Event:
    """Move an event."""

def cancel_event(event_id: str, message: str | None = None) -> bool:
    """Cancel an event."""

def find_person(name: str) -> Person | None:
    """Find a person by name."""

def free_slots(people: list[str], day: str, minutes: int = 30) -> list[Slot]:
    """Find times when all people, given by id, are free."""

def find_rooms(capacity: int, floor: int | None = None) -> list[Room]:
    """Find rooms for at least so many people."""

def book_room(room: str, slot: Slot) -> Booking:
    """Book a room by name."""

def invite(event_id: str, people: list[str], role: Literal["required", "optional"] = "required") -> Event:
    """Invite people, given by mail address, to an event."""

def set_reminder(event_id: str, minutes_before: int, *, channel: Literal["email", "popup"] = "popup") -> None:
    """Remind of an event."""

def share_calendar(calendar: str, person: str, access: Literal["read", "write"]) -> None:
    """Share a calendar with a person, given by id."""
