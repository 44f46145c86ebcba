"""A page of posts: GET / shows them, a line each; POST / adds its body as one. All are kept in the database."""

import os
import time

import pymysql
from flask import Flask, request

app = Flask(__name__)


def database(deadline=20):
    """A connection to the database, which may be starting yet."""
    give_up = time.monotonic() + deadline
    while True:
        try:
            return pymysql.connect(
                host=os.environ["WORDPRESS_DB_HOST"],
                user="root",
                password=os.environ["WORDPRESS_DB_PASSWORD"],
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=5,
            )
        except pymysql.err.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)


def ask(statement, *values):
    """Run a statement in the database, which is made where it is missing; gives the rows."""
    connection = database()
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS wordpress CHARACTER SET utf8mb4")
            cursor.execute("USE wordpress")
            cursor.execute("CREATE TABLE IF NOT EXISTS posts (id INT AUTO_INCREMENT PRIMARY KEY, words TEXT NOT NULL)")
            cursor.execute(statement, values)
            return cursor.fetchall()
    finally:
        connection.close()


@app.route("/")
def show():
    return "".join(f"{words}\n" for (words,) in ask("SELECT words FROM posts ORDER BY id"))


@app.route("/", methods=["POST"])
def add():
    # Told to be a form by curl's default, and meant as plain words.
    ask("INSERT INTO posts (words) VALUES (%s)", request.get_data(cache=False, parse_form_data=False, as_text=True))
    return "", 201
